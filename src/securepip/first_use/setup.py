"""Makes a first-use repository over an index, and trusts it.

Rule: the folder is an ordinary repository, made by the code of ``repo init``, with all of its keys
on this machine. The trust map is written last. A run that is killed before that leaves a folder
that is not trusted, and the next run goes on with it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from securepip.dirs import data_dir
from securepip.errors import UsageError
from securepip.formats.layout import METADATA_DIR
from securepip.signing.overlay.memory import Memory, Upstream
from securepip.signing.overlay.upstream.sources import check_encrypted
from securepip.signing.publish.create import create
from securepip.signing.repository.config import CONFIG_NAME, STATE_DIR
from securepip.signing.repository.repository import Repository
from securepip.transport import is_local, path_to_url, redact, without_credentials
from securepip.trust import FirstUse, FirstUseRules, Trust, TrustedRepository, TrustStore

EXPECTED_TARGETS = 40
"""It makes 64 bins. More would be expensive, since each batch signs a snapshot with all of them."""

_LONGEST_NAME = 60


@dataclass(frozen=True)
class Protected:
    """An index that is trusted on first use from now on.

    Attributes:
        repository: The repository over it.
        is_new: Whether the repository was made now.
    """

    repository: TrustedRepository
    is_new: bool


def protect(
    index_url: str,
    rules: FirstUseRules,
    store: TrustStore,
    *,
    trusted_hosts: Sequence[str] = (),
    name: str | None = None,
    is_asked_always: bool = True,
) -> Protected:
    """Make a repository over an index and trust it; if there is one already, change its rules.

    Args:
        index_url: An http, https or file URL of a simple index.
        rules: The rules for new files.
        store: The trusted repositories of this machine.
        trusted_hosts: Hosts that need no encryption, as with pip.
        name: The name of the repository; by default the host of the index.
        is_asked_always: Whether the repository is used for every command; if not, only for commands
            that name the index.

    Raises:
        UsageError: The name is taken, another repository stands for the index already, or the index
            or a witness is plain http.
        RepositoryStateError: The repository cannot be made.
    """
    for url in (index_url, *rules.witnesses):
        check_encrypted(url, trusted_hosts)
    trust = store.read()
    first_use = FirstUse(index_url, rules)
    known = trust.for_index(index_url)
    if known is not None:
        if known.first_use is None or name not in (None, known.name):
            raise UsageError(
                f"the trusted repository {known.name!r} stands for {redact(index_url)} already",
                remedy=f"`securepip trust show {known.name}` says what is known of it.",
            )
        store.change_first_use(known.name, first_use)
        return Protected(store.read().named(known.name), is_new=False)
    name = name or _free_name(index_url, {each.name for each in trust.repositories})
    folder = repository_folder(name)
    if not (folder / STATE_DIR / CONFIG_NAME).exists():
        create(folder, expected_files=EXPECTED_TARGETS, offline_keys_stay=True)
    _remember_upstream(folder, index_url)
    root = (folder / METADATA_DIR / "1.root.json").read_bytes()
    added = store.add(
        name,
        path_to_url(folder),
        root,
        (index_url,),
        first_use,
        is_asked_always=is_asked_always,
    )
    return Protected(added, is_new=True)


def protect_named(
    index_urls: Iterable[str], store: TrustStore, trusted_hosts: Sequence[str]
) -> Trust:
    """Make repositories over the indexes that a command names, if the user wants that.

    Each of them is used only for commands that name its index.

    Raises:
        UsageError: An index is plain http, so that anybody on the way could answer.
        RepositoryStateError: A repository cannot be made.
    """
    trust = store.read()
    if trust.any_index is None:
        return trust
    for url in index_urls:
        if not is_local(url) and trust.for_index(url) is None:
            protect(
                url,
                trust.any_index,
                store,
                trusted_hosts=trusted_hosts,
                is_asked_always=False,
            )
    return store.read()


def repository_folder(name: str) -> Path:
    """The folder of the first-use repository of that name."""
    return data_dir() / "first-use" / name


def _remember_upstream(folder: Path, index_url: str) -> None:
    """Make `repo sync` read this index, and not those of pip's configuration.

    Otherwise an attacker could register a name at one of those indexes that only this one has, and
    have his files signed.
    """
    upstream = Upstream((without_credentials(index_url).rstrip("/") + "/",), named=True)
    with Repository.open(folder) as repository, repository.lock(finish=False):
        Memory(repository.ledger.connection).keep_upstream(upstream)


def _free_name(index_url: str, taken: set[str]) -> str:
    """A free name for a repository: the host of its index, with a number if that is taken."""
    parts = urlsplit(index_url)
    readable = re.sub(r"[^a-z0-9.]+", "-", f"{parts.hostname or 'folder'}".lower()).strip("-.")
    base = readable[:_LONGEST_NAME].strip("-.") or "index"
    names = [base, *(f"{base}-{number}" for number in range(2, 1000))]
    return next(each for each in names if each not in taken)
