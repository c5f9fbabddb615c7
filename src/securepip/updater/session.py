"""One TUF session with one repository: refresh once, then look targets up.

The rules:

* python-tuf's ``Updater`` decides what is trusted, in one thread. This class adds early parallel
  downloads, a lock, and errors for people.
* Hints (``ahead``) decide what is fetched early. python-tuf verifies it when it asks for it.
* The state folder protects against rollback. It is locked during ``refresh``, because python-tuf
  supports one instance at a time, and it is never deleted to get past an error.
"""

from __future__ import annotations

import re
import weakref
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta, timezone
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from pathlib import Path
from typing import TypeVar
from urllib.parse import quote

from filelock import FileLock, Timeout
from tuf.api.exceptions import (
    DownloadError,
    DownloadHTTPError,
    DownloadLengthMismatchError,
    ExpiredMetadataError,
    RepositoryError,
)
from tuf.api.metadata import Metadata, MetaFile, TargetFile, Targets
from tuf.ngclient import UpdaterConfig

from securepip.dirs import private_folder, way_out
from securepip.errors import (
    RepositoryUnavailableError,
    SecurepipError,
    TransportError,
    UnreachableError,
    VerificationError,
)
from securepip.formats.roles import Naming
from securepip.formats.words import counted
from securepip.transport import Transport, redact
from securepip.updater.ahead import MAX_METADATA_BYTES, RolesAhead
from securepip.updater.checked import CheckedUpdater
from securepip.updater.fetcher import Fetcher
from securepip.updater.mirrors import Mirrors
from securepip.updater.seen import Seen

LOCK_SECONDS = 300.0
MAX_TARGETS_BYTES = 32 << 20
"""The longest targets metadata that is read if the snapshot announces no length."""

_NOT_RENEWED = "Either nobody has renewed them, or somebody holds newer ones back."
_SAME_TIME = timedelta(minutes=10)
"""Two clocks that differ by less than this count as equal."""

T = TypeVar("T")


class Session:
    """What one repository has signed, as of one moment.

    Args:
        name: What the user calls the repository, for messages.
        metadata_url: The URL of its metadata folder, ending in a slash.
        state: The folder of trusted metadata; made if it does not exist.
        transport: Fetches everything.
        root: The pinned root; None to start from the ``root.json`` in ``state``.
        mirrors: The places that have the same metadata; by default only ``metadata_url``.
    """

    def __init__(
        self,
        name: str,
        metadata_url: str,
        state: Path,
        transport: Transport,
        root: bytes | None,
        mirrors: Mirrors | None = None,
    ) -> None:
        self.name = name
        self.metadata_url = metadata_url
        self._state = state
        self._root = root
        self._mirrors = mirrors or Mirrors()
        self._fetcher = Fetcher(transport, metadata_url)
        self.seen = Seen(state)
        """The projects that were ever seen in this repository; written when the session ends."""
        weakref.finalize(self, self.seen.keep)
        self._updater: CheckedUpdater | None = None
        self._snapshot: Mapping[str, MetaFile] = {}
        self._found: dict[str, TargetFile | None] = {}
        self._roles: RolesAhead | None = None
        self._soon: tuple[str, ...] = ()

    def refresh(self) -> None:
        """Bring root, timestamp, snapshot and targets up to date. Later calls do nothing.

        Raises:
            VerificationError: What the repository serves is not properly signed, is older than
                what was seen before, or has expired.
            RepositoryUnavailableError: The repository did not answer, or another process holds the
                lock for ``LOCK_SECONDS``.
            SecurepipError: The state folder cannot be read or written, or is damaged.
        """
        self._refreshed()

    def look_anew(self) -> None:
        """Forget all look-ups, because this machine itself has signed something since.

        The next look-up refreshes. The state folder stays as it is.
        """
        self._updater = None
        self._snapshot = {}
        self._found = {}
        self._roles = None

    def _refreshed(self) -> CheckedUpdater:
        if self._updater is not None:
            return self._updater
        try:
            private_folder(self._state)
            # python-tuf would make it with the mode that the umask leaves.
            private_folder(self._state / "root_history")
            with FileLock(self._state / ".lock", timeout=LOCK_SECONDS, mode=0o600):
                updater = self._explained(self._refresh)
        except Timeout:
            raise RepositoryUnavailableError(
                f"another process has been refreshing the repository {self.name!r} for "
                f"{LOCK_SECONDS:.0f} seconds",
                remedy=f"Wait for it, or end it; the lock is {self._state / '.lock'}.",
            ) from None
        except OSError as error:
            raise self._not_kept(error) from error
        self._updater = updater
        return updater

    def prefetch(self, target_paths: Iterable[str], *, wait: bool = True) -> None:
        """Begin to fetch the metadata that look-ups of these targets will need.

        Args:
            target_paths: Target paths, known to the repository or not.
            wait: As in ``RolesAhead.begin``.

        Raises:
            VerificationError, RepositoryUnavailableError, SecurepipError: As ``refresh``.
        """
        self._soon = tuple(target_paths)
        self.refresh()
        if self._roles is not None:
            wanted = [path for path in self._soon if path not in self._found]
            self._roles.begin(wanted, wait=wait)
        self._soon = ()

    def target(self, target_path: str) -> TargetFile | None:
        """The length and digest that the repository signed for a target; None if it has no such.

        Raises:
            VerificationError, RepositoryUnavailableError, SecurepipError: As ``refresh``.
        """
        updater = self._refreshed()
        if target_path not in self._found:
            self._found[target_path] = self._explained(lambda: updater.get_targetinfo(target_path))
        return self._found[target_path]

    def role(self, name: str) -> Metadata[Targets] | None:
        """A targets role that this session has verified for a look-up; None for any other role.

        None also if another process has put a newer version into the state folder since: this
        session has not verified that one.

        Raises:
            VerificationError, RepositoryUnavailableError, SecurepipError: As ``refresh``.
        """
        version = self._refreshed().version_of(name)
        stored = self._in_folder(name)
        return stored if stored is not None and stored.signed.version == version else None

    @property
    def naming(self) -> Naming:
        """What the repository's roles must say about themselves, as ``refresh`` found it."""
        return self._refreshed().naming

    def role_version(self, name: str) -> int:
        """The version of a role that the snapshot lists; 0 if it does not list the role."""
        self._refreshed()
        listed = self._snapshot.get(f"{name}.json")
        return listed.version if listed else 0

    def download(self, target_path: str, base_url: str, folder: Path) -> Path:
        """Fetch a target, as any TUF client does, unless the folder has it already.

        Args:
            target_path: The target.
            base_url: The base URL of the repository's targets.
            folder: Where the file goes, named by its target path in URL encoding.

        Raises:
            VerificationError: The repository signed no such target, or serves other bytes.
            RepositoryUnavailableError, SecurepipError: As ``refresh``.
        """
        target = self.target(target_path)
        if target is None:
            raise VerificationError(f"the repository {self.name!r} has signed no {target_path!r}")
        path = folder / quote(target_path, "")
        updater = self._refreshed()
        if updater.find_cached_target(target, str(path)) is None:
            self._explained(lambda: updater.download_target(target, str(path), base_url))
        return path

    def _refresh(self) -> CheckedUpdater:
        config = UpdaterConfig(
            snapshot_max_length=MAX_METADATA_BYTES, targets_max_length=MAX_TARGETS_BYTES
        )
        updater = CheckedUpdater(
            self._state, self.metadata_url, self._fetcher, config, self._root, self._begin_listed
        )
        updater.refresh()
        return updater

    def _begin_listed(self, snapshot: Mapping[str, MetaFile]) -> None:
        """Begin to fetch what look-ups will need, as soon as the snapshot is verified.

        The session keeps this snapshot: another process may store a newer one in the state folder.
        """
        self._snapshot = snapshot
        self._roles = RolesAhead(
            self.metadata_url, self._state, snapshot, self._fetcher.warm, self._fetcher.warmed
        )
        self._roles.warm("targets")
        self._roles.begin(self._soon, wait=False)

    def _in_folder(self, role: str) -> Metadata[Targets] | None:
        """The role's file that is in the state folder now; None if there is none."""
        try:
            metadata = Metadata[Targets].from_bytes(self._role_path(role).read_bytes())
        except (OSError, RepositoryError):
            return None
        return metadata if isinstance(metadata.signed, Targets) else None

    def _role_path(self, role: str) -> Path:
        return self._state / f"{quote(role, '')}.json"

    def _explained(self, action: Callable[[], T]) -> T:
        """Run an action of python-tuf at one place after the other until one succeeds.

        python-tuf stores only verified metadata, so what it stored from one place is right for the
        next place too.

        Raises:
            SecurepipError: python-tuf's error, in words for people.
        """

        def run_at(address: str) -> T:
            self._fetcher.ask_at(address)
            return self._at_one_place(action)

        return self._mirrors.try_each(self.metadata_url, run_at)

    def _at_one_place(self, action: Callable[[], T]) -> T:
        self._fetcher.last_url = self._fetcher.address
        try:
            return action()
        except ExpiredMetadataError as error:
            raise self._expired(error) from error
        except (RepositoryError, DownloadLengthMismatchError) as error:
            raise self._not_verified(error) from error
        except DownloadError as error:
            raise self._unavailable(error) from error
        except OSError as error:
            raise self._not_kept(error) from error

    def _not_kept(self, error: OSError) -> SecurepipError:
        return SecurepipError(
            f"the trusted state of the repository {self.name!r} cannot be kept in {self._state}: "
            f"{error.strerror or error}",
            meaning="There securepip remembers what it has seen, so that nobody can show it "
            "something older. Nothing was installed.",
            remedy=way_out([str(self._state)]),
        )

    def _not_verified(self, error: Exception) -> VerificationError:
        return VerificationError(
            f"{redact(self._fetcher.last_url)} is not what the repository {self.name!r} signed: "
            f"{error}",
            meaning="The repository, its mirror, or somebody between it and this machine serves "
            "changed or outdated data. It can also be a broken copy of the repository.",
            remedy="Nothing was installed. Try again from another network; if that does not help, "
            "tell the people who run the repository.",
        )

    def _expired(self, error: Exception) -> VerificationError:
        # The role is in python-tuf's message; `last_url` may be of the file after it.
        role = re.sub(r"^(New|Final) |(\.json)? is expired$", "", str(error))
        url = self._fetcher.last_url
        if not url.endswith((f"/{role}.json", f".{role}.json")):
            url = f"{self._fetcher.address}{role}.json"
        return VerificationError(
            f"{redact(url)} of the repository {self.name!r} has expired{_last_good(self._state)}",
            meaning="Signatures are good for some days, and have to be renewed. "
            f"{_of_clocks(self._fetcher, url)}",
            remedy="Nothing was installed. If this machine's clock is right, tell those who run "
            f"{self.name}: `securepip repo status DIR` shows them what is to be renewed.",
        )

    def _unavailable(self, error: DownloadError) -> SecurepipError:
        cause = self._fetcher.last_error
        reason = cause.what if cause is not None else f"{redact(self._fetcher.last_url)}: {error}"
        if cause is not None and cause.status == HTTPStatus.UNAUTHORIZED:
            reason = f"the repository {self.name!r} does not let this machine in: {reason}"
        elif not isinstance(cause, UnreachableError):
            reason = f"the repository {self.name!r} did not answer: {reason}"
        meaning, remedy = _meaning_and_remedy(error, cause, redact(self._fetcher.address))
        return RepositoryUnavailableError(
            f"{reason}{_last_good(self._state)}", meaning=meaning, remedy=remedy
        )


def _meaning_and_remedy(
    error: DownloadError, cause: TransportError | None, address: str
) -> tuple[str, str]:
    """What a missing answer may mean, and what the user can do."""
    remedy = f"Check your network and the address ({address}), then try again."
    if isinstance(error, DownloadHTTPError) and error.status_code in (403, 404):
        return (
            "The repository's metadata names a file that is not there: a broken or incomplete "
            "copy, or another address than the repository's.",
            remedy,
        )
    if cause is not None and cause.meaning:
        return f"{cause.meaning} Nothing is installed without it.", cause.remedy or remedy
    return "The repository cannot be reached. Nothing is installed without it.", remedy


def _of_clocks(fetcher: Fetcher, url: str) -> str:
    """Whether a wrong clock may be the reason that metadata has expired, in a sentence.

    Nobody signs the server's clock: it is shown to a person and decides nothing.
    """
    now = datetime.now(timezone.utc)
    try:
        server = parsedate_to_datetime(fetcher.date_at(url))
        differ = abs(now - server) > _SAME_TIME
    except (TransportError, ValueError, TypeError, OverflowError):
        # None, one that cannot be read or that no calendar has, or one without a zone.
        return (
            f"{_NOT_RENEWED} A wrong clock on this machine looks the same: it says that it is "
            f"{now:%Y-%m-%d %H:%M UTC}."
        )
    if differ:
        return (
            f"This machine's clock says that it is {now:%Y-%m-%d %H:%M UTC}, and the server's "
            f"{server:%Y-%m-%d %H:%M UTC}. Most likely the first is wrong: set it right and "
            "try again."
        )
    return (
        f"{_NOT_RENEWED} This machine's clock does not seem to be the reason: the server, too, "
        f"says that it is {now:%Y-%m-%d %H:%M UTC}."
    )


def _last_good(state: Path) -> str:
    """How long ago this machine last stored a valid timestamp, as the end of a sentence."""
    try:
        changed = (state / "timestamp.json").stat().st_mtime
    except OSError:
        return ". No good signatures of it ever arrived here"
    age = datetime.now(timezone.utc) - datetime.fromtimestamp(changed, timezone.utc)
    return f". Its last good signatures arrived {_words(age.total_seconds())} ago"


def _words(seconds: float) -> str:
    for unit, length in (("day", 86400), ("hour", 3600), ("minute", 60)):
        if seconds >= 2 * length:
            return counted(round(seconds / length), unit)
    return counted(max(round(seconds), 0), "second")
