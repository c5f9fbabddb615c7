"""Moves a repository: first its files, then its memory, last its timestamp. Clients notice nothing.

Rule: at each moment only one place signs. Before the new timestamp is written, the old place
records that it was moved, and it signs nothing from then on. The files that it serves stay valid. A
move that is killed is finished by running it again.
"""

from __future__ import annotations

from contextlib import ExitStack, closing
from dataclasses import dataclass, replace

from tuf.api.exceptions import RepositoryError
from tuf.api.metadata import Metadata, Timestamp

from securepip.errors import RepositoryStateError
from securepip.formats.digests import sha256_of
from securepip.formats.layout import METADATA_DIR, PACKAGES_DIR, SIMPLE_DIR
from securepip.signing.moving.files import ROOT, Progress, copy_files, verify_copy
from securepip.signing.moving.memory import carry, carry_files
from securepip.signing.page.status_page import write as write_status_page
from securepip.signing.publish.status import unfinished_of
from securepip.signing.repository.config import Config
from securepip.signing.repository.repository import Repository
from securepip.signing.repository.roles import TIMESTAMP_NAME
from securepip.signing.repository.site import Site
from securepip.signing.repository.state.log import Reason

_TIMESTAMP = f"{METADATA_DIR}/{TIMESTAMP_NAME}"


@dataclass(frozen=True)
class Moved:
    """The result of a move.

    Attributes:
        files: The number of files, metadata included.
        projects: The number of projects.
    """

    files: int
    projects: int


def move(
    source: Site, target: Site, *, same_state: bool, reason: Reason, progress: Progress
) -> Moved:
    """Move the repository from ``source`` to ``target``.

    Args:
        source: Where the repository is.
        target: An empty place, or one with an older state of the same repository that was moved
            away from there.
        same_state: Whether both places keep their memory in the same database: then only files are
            moved.
        reason: Why; for the log.
        progress: Told how many files are at ``target`` by now.

    Raises:
        RepositoryStateError: ``target`` holds something else, a file of ``source`` is missing, or
            one of them fails. The repository is where it was, or running this again finishes it.
    """
    with Repository.open(source, reason=reason) as here, here.lock(moving_to=target):
        _check_finished(here)
        projects = here.projects()
        files = 0
        if not _is_there(here, source, target, same_state=same_state):
            old_timestamp = _check_target(here, target)
            target.home.mkdir(mode=0o700, parents=True, exist_ok=True)
            with ExitStack() as held:
                target_state = held.enter_context(closing(target.take()))
                if not same_state:
                    held.enter_context(target_state.lock())
                files = copy_files(here.storage, target.storage, progress)
                timestamp = here.storage.read(_TIMESTAMP)
                verify_copy(here, target.storage, timestamp)
                settings = replace(here.config, moved_to="", remembered_in="")
                away = _moved(settings, target)
                if same_state:
                    # The settings name the new place, so that it finds its memory here.
                    target_state.keep_settings(replace(away, remembered_in=""))
                    target.storage.replace(_TIMESTAMP, timestamp, old_timestamp)
                else:
                    carry(here.state, target_state)
                    carry_files(here.state, target_state)
                    # Until the move has ended, the new place says that it was moved to the old one.
                    target_state.keep_settings(_moved(settings, source))
                    here.state.keep_settings(away)
                    target.storage.replace(_TIMESTAMP, timestamp, old_timestamp)
                    target_state.keep_settings(settings)
    with Repository.open(target, reason=reason) as new:
        with new.lock():
            new.finish(projects)
            new.show_all()
        write_status_page(new)
    return Moved(files, len(projects))


def _check_finished(here: Repository) -> None:
    for command in unfinished_of(here):
        raise RepositoryStateError(
            f"a `repo {command}` of {here.address} was interrupted",
            remedy="Run it again to finish it, and then move the repository.",
        )


def _check_target(here: Repository, target: Site) -> bytes | None:
    """Check that ``target`` holds nothing, or an older state of this repository.

    Returns:
        The timestamp at ``target``; None if there is none.

    Raises:
        RepositoryStateError: It holds something else, or a state that is not older.
    """
    try:
        first = target.storage.read(ROOT)
    except FileNotFoundError:
        for kind in (METADATA_DIR, SIMPLE_DIR, PACKAGES_DIR):
            for each in target.storage.list(kind):
                raise RepositoryStateError(
                    f"{target.address} is not empty: it holds {each.name!r:.200}",
                    remedy="Name an empty folder or prefix.",
                ) from None
        first = None
    if first is not None and sha256_of(first) != here.config.root_sha256:
        raise RepositoryStateError(
            f"{target.address} holds another repository",
            remedy="Name an empty folder or prefix.",
        )
    try:
        before = target.storage.read(_TIMESTAMP)
    except FileNotFoundError:
        return None
    current = here.storage.read(_TIMESTAMP)
    if before != current and _version(before) >= _version(current):
        raise RepositoryStateError(
            f"what is current in {target.address} is not older than what is in {here.address}",
            meaning="Somebody has signed there too. Its clients have seen that, and would refuse "
            "what comes from here.",
            remedy="Move the newer one, or name an empty folder or prefix.",
        )
    return before


def _moved(settings: Config, place: Site) -> Config:
    return replace(settings, moved_to=place.address, remembered_in=place.memory)


def _is_moved(settings: Config, place: Site) -> bool:
    return (settings.moved_to, settings.remembered_in) == (place.address, place.memory)


def _is_there(here: Repository, source: Site, target: Site, *, same_state: bool) -> bool:
    """Whether an earlier run has moved the repository to ``target``, up to the plain view.

    The memory at ``target`` may be newer than the one at ``source`` by now, so it must not be
    written again.

    Raises:
        RepositoryStateError: ``target`` holds another repository, signs for this one although this
            one was not moved there, or was moved on to a third place.
    """
    if same_state:
        return False
    try:
        state = target.open()
    except RepositoryStateError:
        return False  # there is no memory at the target
    try:
        config = state.settings()
    except RepositoryStateError:
        return False
    finally:
        state.close()
    if config.root_sha256 != here.config.root_sha256:
        raise RepositoryStateError(
            f"{target.address} holds another repository",
            remedy="Name an empty folder or prefix.",
        )
    was_moved_there = _is_moved(here.config, target)
    if config.is_away(target.address):
        # The target holds an older state that was moved away. It must not be a newer one, which
        # came from here and was moved on.
        if was_moved_there and not _is_moved(config, source):
            where = config.moved_to if config.moved_to != target.address else config.remembered_in
            raise RepositoryStateError(
                f"the repository was moved from {target.address} to {where} meanwhile",
                remedy=f"Name {where} instead of {here.address}.",
            )
        return False
    if not was_moved_there:
        raise RepositoryStateError(
            f"{target.address} signs for the same repository",
            meaning="It is a copy that `repo move` did not make: both could sign different states.",
            remedy="Keep the one whose clients have seen the newest state, and delete the other.",
        )
    return True


def _version(data: bytes) -> int:
    try:
        return Metadata[Timestamp].from_bytes(data).signed.version
    except RepositoryError:
        return 0
