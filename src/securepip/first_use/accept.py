"""A person accepts what was refused: other bytes of a file, or a page that lost its files."""

from __future__ import annotations

import time
from contextlib import ExitStack
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path

from packaging.utils import canonicalize_name

from securepip.dirs import temporary_folder
from securepip.errors import RepositoryStateError
from securepip.first_use.files import read_whole
from securepip.first_use.memory import Memory
from securepip.first_use.memory_file import Seen, extend_memory, read_memory
from securepip.formats.distribution import is_distribution
from securepip.index.store import Store
from securepip.signing.overlay.accept import accept_change
from securepip.signing.overlay.ask import page_file
from securepip.signing.overlay.memory import Memory as LearnedFacts
from securepip.signing.overlay.upstream.files import UpstreamFiles
from securepip.signing.overlay.upstream.sources import open_sources
from securepip.signing.repository.repository import Repository
from securepip.signing.repository.state.log import Reason
from securepip.transport import Transport, TransportOptions, file_url_to_path
from securepip.trust import TrustedRepository


def accept(
    repository: TrustedRepository, what: str, options: TransportOptions, words: str = ""
) -> bool:
    """Accept the change of ``what``, a file name or a project, in one repository.

    Args:
        repository: One of this machine's own.
        what: As the refusal named it.
        options: How servers are reached, for a file of which the index tells no sha256: nobody can
            know its new bytes before they are read.
        words: Why, in the words of the person who does it.

    Returns:
        Whether there was something to accept.

    Raises:
        SecurepipError: The index, or the server of the file, did not answer.
        RepositoryStateError: The repository is in an odd state.
    """
    reason = Reason(f"trust accept-change {what}", words)
    with Repository.open(file_url_to_path(repository.location), reason=reason) as opened:
        memory = Memory(opened.ledger.connection, time.time())
        if not is_distribution(what):
            with opened.lock(finish=False):
                lost = memory.accept_loss(canonicalize_name(what))
                if lost:
                    opened.log.note(opened.roles().timestamp.signed)
                return lost
        try:
            accepted, forgotten = accept_change(opened, what)
        except RepositoryStateError:
            accepted, forgotten = [], []
        if not accepted and _refuse_now(repository, opened, what, options):
            accepted, _ = accept_change(opened, what)
        memory.forget([*(project for project, _ in accepted), *forgotten])
        named = repository.first_use.rules.memory if repository.first_use else None
        if accepted and named is not None and what in read_memory(named):
            # Else other machines would go on refusing what a person has accepted here.
            today = datetime.now(timezone.utc).date()
            extend_memory(named, [Seen(what, accepted[0][1], today)], accepted=True)
        return bool(accepted or forgotten)


def _refuse_now(
    repository: TrustedRepository, opened: Repository, filename: str, options: TransportOptions
) -> bool:
    """Read a file of which the index tells no sha256, and refuse its bytes if they are new.

    A person who accepts the change then accepts these bytes, not whatever comes next.
    """
    first_use, ledger = repository.first_use, opened.ledger
    if first_use is None or first_use.rules.witnesses:
        return False
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
                                # Its page is the same as before, and becomes another one.
                                LearnedFacts(ledger.connection).forget_state(project)
                            return True
    return False
