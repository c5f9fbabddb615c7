"""The settings of a repository: ``state/config.json``.

Rule: only the operator can read the folder ``state`` (mode 0700), and it is never served.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import timedelta
from pathlib import Path

from securepip.errors import NotARepositoryError, RepositoryStateError, UsageError
from securepip.formats.digests import Sha256, parse_sha256

STATE_DIR = "state"
CONFIG_NAME = "config.json"
LEDGER_NAME = "ledger.sqlite3"
LOG_NAME = "log.jsonl"
LOCK_NAME = "lock"
DATABASE_NAME = "database"
"""If this file exists, the repository's memory is in the database that the file names."""
UNFINISHED_DIR = "unfinished"
RECOVERY_DIR = "recovery"
PENDING_DIR = "pending"
"""If this folder exists, a change of keys was begun and not finished."""
PEP458 = "pep458"
DEFAULT_EXPECTED_FILES = 10_000
_FORMAT = 1
_MAX_DAYS = 3650
# Until an old `claimed` expires, a thief of the online keys can show a new client a state in which
# a project is not claimed yet.
_MAX_CLAIMED_DAYS = 35


@dataclass(frozen=True)
class Expiry:
    """How long the signatures of each role are valid, in days.

    One key signs timestamp, snapshot and bins. Bins with a life as short as that of the timestamp
    would add no freshness, and renewing them daily would make every client fetch them again.
    ``recently-claimed`` lives as long as the bins, since it is signed with the same key.
    ``claimed`` has a short life, because an attacker with that key would want to serve an old one.
    """

    timestamp: int = 7
    snapshot: int = 7
    bin_n: int = 90
    recently_claimed: int = 90
    claimed: int = 35
    targets: int = 365
    bins: int = 365
    root: int = 365

    def of(self, role: str) -> timedelta:
        """How long a new signature of ``role`` is valid.

        ``role`` is a name, such as ``bin-3f``. A shard (``claimed.ab``) lives as long as the role
        that it is a part of.
        """
        days: dict[str, int] = asdict(self)
        return timedelta(days=days.get(role.partition(".")[0].replace("-", "_"), self.bin_n))


def parse_expiry(settings: Iterable[str]) -> Expiry:
    """The expiry that ``settings`` ask for. Each is ``pep458`` or ``ROLE=DAYS``; the last one wins.

    Raises:
        UsageError: A setting is neither, names an unknown role, or has a bad number of days.
    """
    expiry = Expiry()
    roles = asdict(expiry)
    for setting in settings:
        if setting == PEP458:
            expiry = replace(expiry, timestamp=1, snapshot=1, bin_n=1)
            continue
        role, _, days = setting.partition("=")
        role = role.replace("-", "_")
        longest = _MAX_CLAIMED_DAYS if role == "claimed" else _MAX_DAYS
        if role not in roles or not days.isdecimal() or not 1 <= int(days) <= longest:
            names = ", ".join(name.replace("_", "-") for name in roles)
            raise UsageError(
                f"not an expiry: {setting!r:.80}",
                remedy=f"Say {PEP458}, or ROLE=DAYS with a role of: {names}; claimed has at most "
                f"{_MAX_CLAIMED_DAYS} days.",
            )
        expiry = replace(expiry, **{role: int(days)})
    return expiry


@dataclass(frozen=True)
class Config:
    """The settings of one repository.

    Attributes:
        repository_id: The name of its folder of keys.
        root_sha256: The digest of its first root. The signing side's own trust begins there: files
            in the served folders are believed only as far as they are signed.
        expiry: How long new signatures are valid.
        signers: The URI of each private key, by key id. The files of offline keys should be gone.
        offline_keys_stay: Whether the offline keys are meant to stay where they were made, because
            the repository is for one machine alone.
        name: Its name on the status page; "" if none is set.
        url: Its URL on the status page; "" if none is set.
        moved_to: The address that it was moved to; "" if it was not moved. It signs only there.
        remembered_in: The memory at the new place (``Site.memory``); "" if the memory was not
            moved.
    """

    repository_id: str
    root_sha256: Sha256
    expiry: Expiry
    signers: Mapping[str, str] = field(default_factory=dict)
    offline_keys_stay: bool = False
    name: str = ""
    url: str = ""
    moved_to: str = ""
    remembered_in: str = ""

    def is_away(self, address: str) -> bool:
        """Whether the repository or its memory was moved away from ``address``."""
        return self.remembered_in != "" or self.moved_to not in ("", address)

    def to_json(self) -> bytes:
        """The file's contents."""
        document = {"format": _FORMAT, **asdict(self)}
        return (json.dumps(document, indent=1) + "\n").encode()


def load_config(folder: Path) -> Config:
    """The settings of the repository in ``folder``.

    Raises:
        NotARepositoryError: There is no repository.
        RepositoryStateError: The file is damaged or cannot be read, or the memory is in a database.
    """
    path = folder / STATE_DIR / CONFIG_NAME
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        check_no_database(folder)
        raise NotARepositoryError(
            f"{folder} is not a repository (there is no {path})",
            remedy=f"`securepip repo init {folder}` makes one.",
        ) from None
    except OSError as error:
        raise RepositoryStateError(f"{path} cannot be read: {error}") from None
    return parse_config(data, str(path))


def check_no_database(folder: Path, address: str | None = None) -> None:
    """Check that the memory of a repository is not in a database.

    Args:
        folder: The repository's folder on this machine.
        address: The repository's address for the error; by default ``folder``.

    Raises:
        RepositoryStateError: It is in a database.
    """
    mark = folder / STATE_DIR / DATABASE_NAME
    if mark.exists():
        raise RepositoryStateError(
            f"the repository in {address or folder} remembers in a database: "
            f"{mark.read_text().strip():.300}",
            remedy="Name it, with its user and password, with --database or in SECUREPIP_DATABASE.",
        )


def parse_config(data: bytes, where: str) -> Config:
    """The settings that ``Config.to_json`` has written.

    Args:
        data: The JSON document.
        where: Where it comes from, for the error.

    Raises:
        RepositoryStateError: They are damaged.
    """
    try:
        document = json.loads(data)
    except ValueError as error:
        raise RepositoryStateError(f"{where} cannot be read: {error}") from None
    try:
        if document["format"] != _FORMAT:
            raise ValueError(f"format {document['format']!r}")
        return Config(
            repository_id=str(document["repository_id"]),
            root_sha256=parse_sha256(document["root_sha256"]),
            expiry=Expiry(**document["expiry"]),
            signers={str(keyid): str(uri) for keyid, uri in document["signers"].items()},
            offline_keys_stay=document.get("offline_keys_stay") is True,
            name=str(document.get("name", "")),
            url=str(document.get("url", "")),
            moved_to=str(document.get("moved_to", "")),
            remembered_in=str(document.get("remembered_in", "")),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise RepositoryStateError(
            f"{where} is not the state of a repository that this securepip knows: {error!r:.200}"
        ) from None
