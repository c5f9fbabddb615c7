"""Accepts what was refused, for a person: other bytes of a file, or a page that lost its files."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from pathlib import Path

from packaging.utils import canonicalize_name

from securepip.dirs import temporary_folder
from securepip.errors import RepositoryStateError, UsageError
from securepip.first_use.files import read_whole
from securepip.first_use.memory import Memory
from securepip.first_use.memory_file import Seen, extend_memory, read_memory
from securepip.formats.digests import Sha256
from securepip.formats.distribution import is_distribution
from securepip.index.store import Store
from securepip.signing.overlay.accept import accept_change
from securepip.signing.overlay.ask import page_file
from securepip.signing.overlay.memory import Memory as LearnedFacts
from securepip.signing.overlay.upstream.files import UpstreamFiles
from securepip.signing.overlay.upstream.sources import open_sources
from securepip.signing.repository.repository import Repository
from securepip.signing.repository.state.log import Reason
from securepip.transport import Transport, TransportOptions, file_url_to_path, redact
from securepip.trust import TrustedRepository


@dataclass(frozen=True)
class Accepted:
    """A change that a person has accepted.

    Attributes:
        repository: The name of the repository in which it was accepted.
        sha256: The digest of the accepted bytes; None if a page may lose its files, or if only
            servers are asked again about a file.
    """

    repository: str
    sha256: Sha256 | None


def accept(
    repositories: Sequence[TrustedRepository],
    what: str,
    options: TransportOptions,
    words: str = "",
) -> list[Accepted]:
    """Accept the change of ``what``, a file name or a project.

    Args:
        repositories: The first-use repositories in which it may have been refused.
        what: The name in the refusal.
        options: How servers are reached. A file whose sha256 the index does not give has to be read
            to know its new bytes.
        words: The person's reason; may be "".

    Returns:
        What was accepted, for each repository; empty if nothing was refused.

    Raises:
        UsageError: Several repositories have refused different things. A person who has looked at
            one index must not accept what another one shows.
        SecurepipError: The index, or the server of the file, did not answer.
        RepositoryStateError: What is on disk is not what was signed.
    """
    reason = Reason(f"trust accept-change {what}", words)
    with ExitStack() as stack:
        opened = [
            (one, stack.enter_context(Repository.open(_folder(one), reason=reason)))
            for one in repositories
        ]
        if not is_distribution(what):
            return _accept_loss(opened, what)
        if not any(_refused(each, what) for _, each in opened):
            for one, each in opened:
                _refuse_now(one, each, what, options)
        refused = [one for one in opened if _refused(one[1], what)]
        if len({_refused(each, what) for _, each in refused}) > 1:
            raise _several(what, [(one, f"sha256 {_refused(each, what)}") for one, each in refused])
        accepted = [_accept_file(one, each, what) for one, each in refused or opened]
    return [each for each in accepted if each is not None]


def _folder(repository: TrustedRepository) -> Path:
    return file_url_to_path(repository.location)


def _refused(repository: Repository, filename: str) -> str:
    """The digests that one repository has refused under that name; "" if there are none."""
    return " and ".join(sorted({sha256 for _, sha256 in repository.ledger.refused_as(filename)}))


def _several(what: str, refusals: Sequence[tuple[TrustedRepository, str]]) -> UsageError:
    lines = (f"at {_index(one)} ({one.name}): {refused}" for one, refused in refusals)
    ways = (
        f"  securepip trust accept-change {what} --repository {one.name}" for one, _ in refusals
    )
    return UsageError(
        f"different changes of {what} were refused at several indexes",
        meaning="\n".join(lines),
        remedy="\n".join(["Say which one you know to be right:", *ways]),
    )


def _index(repository: TrustedRepository) -> str:
    return redact(repository.first_use.index_url if repository.first_use else repository.location)


def _accept_loss(
    opened: Sequence[tuple[TrustedRepository, Repository]], project: str
) -> list[Accepted]:
    """Allow a project's page to lose most of its files, in the repositories that refused that."""
    name = canonicalize_name(project)
    memories = [
        (one, each, memory)
        for one, each in opened
        if (memory := Memory(each.ledger.connection, time.time())).is_loss_refused(name)
    ]
    if len(memories) > 1:
        raise _several(project, [(one, "files were lost") for one, _, _ in memories])
    for _, each, memory in memories:
        with each.lock(finish=False):
            memory.accept_loss(name)
            each.log.note(each.roles().timestamp.signed)
    return [Accepted(one.name, None) for one, _, _ in memories]


def _accept_file(
    repository: TrustedRepository, opened: Repository, filename: str
) -> Accepted | None:
    """Accept what one repository has refused, and forget what servers said about the file."""
    try:
        accepted, forgotten = accept_change(opened, filename)
    except RepositoryStateError:
        return None
    memory = Memory(opened.ledger.connection, time.time())
    memory.forget([*(project for project, _ in accepted), *forgotten])
    named = repository.first_use.rules.memory if repository.first_use else None
    if accepted and named is not None and filename in read_memory(named):
        # Otherwise other machines would go on refusing what a person has accepted here.
        today = datetime.now(timezone.utc).date()
        extend_memory(named, [Seen(filename, accepted[0][1], today)], accepted=True)
    return Accepted(repository.name, accepted[0][1] if accepted else None)


def _refuse_now(
    repository: TrustedRepository, opened: Repository, filename: str, options: TransportOptions
) -> None:
    """Read a file whose sha256 the index does not give, and refuse its bytes if they are new.

    A person who accepts the change then accepts exactly these bytes, and not whatever comes next.
    """
    first_use, ledger = repository.first_use, opened.ledger
    if first_use is None or first_use.rules.witnesses:
        return
    url = first_use.index_url
    with ExitStack() as stack:
        transport = stack.enter_context(Transport(replace(options, stay_encrypted=True)))
        store = Store(Path(stack.enter_context(temporary_folder())))
        for project in dict.fromkeys(project for project, _ in ledger.signed_as(filename)):
            for source in open_sources((url,), (), transport):
                page = source.read(project, None).load()
                for each in page.without_sha256 if page else ():
                    if each.filename == filename:
                        sha256, _ = read_whole(
                            page_file(each), UpstreamFiles((url,), transport), store
                        )
                        if sha256 != ledger.known(project).get(filename):
                            with opened.lock(finish=False):
                                ledger.refuse(project, filename, sha256)
                                # The index's page is unchanged, but has to be judged again.
                                LearnedFacts(ledger.connection).forget_state(project)
                            return
