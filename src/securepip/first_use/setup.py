"""Making a repository of this machine's own over an index, and believing it.

Rule: the folder is a repository as any other, made by the code of ``repo init``, with all of its
keys on this machine. The trust map is written last: a run that is killed before leaves a folder
that nobody believes, and the next run goes on with it.
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
"""So few that there are 64 bins: each batch signs the snapshot, which lists every bin, anew."""

_LONGEST_NAME = 60


@dataclass(frozen=True)
class Protected:
    """An index that is believed at first sight from now on.

    Attributes:
        repository: The repository over it.
        is_new: Whether nothing was known of the index before.
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
    """Make a repository over ``index_url`` and believe it; with other rules, change these.

    Args:
        index_url: An http, https or file URL of a simple index.
        rules: What is demanded of files at first sight.
        store: Whom this machine believes.
        trusted_hosts: Hosts that need no encryption, as with pip.
        name: What the user calls the repository; by default the index's host.
        is_asked_always: Whether it speaks for all projects; else only where a command names the
            index.

    Raises:
        UsageError: The name is taken, another repository stands for the index already, or the
            index or a witness could be answered for by anybody on the way.
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
    """Believe at first sight the indexes that a command names, where the user wants that.

    Each speaks for a command that names it, and for no other.

    Raises:
        UsageError: One of them could be answered for by anybody on the way.
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
    """Where the repository of that name is."""
    return data_dir() / "first-use" / name


def _remember_upstream(folder: Path, index_url: str) -> None:
    """Let `repo sync` read this index too, and not those of pip's configuration.

    Who owns a name there that only this index has could otherwise have his files signed.
    """
    upstream = Upstream((without_credentials(index_url).rstrip("/") + "/",), named=True)
    with Repository.open(folder) as repository, repository.lock(finish=False):
        Memory(repository.ledger.connection).keep_upstream(upstream)


def _free_name(index_url: str, taken: set[str]) -> str:
    """A name for the index: its host, with a number behind it where that is taken."""
    parts = urlsplit(index_url)
    readable = re.sub(r"[^a-z0-9.]+", "-", f"{parts.hostname or 'folder'}".lower()).strip("-.")
    base = readable[:_LONGEST_NAME].strip("-.") or "index"
    names = [base, *(f"{base}-{number}" for number in range(2, 1000))]
    return next(each for each in names if each not in taken)
