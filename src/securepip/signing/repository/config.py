"""What a repository remembers about itself, apart from what it signs: ``state/config.json``.

Rule: the folder ``state`` is the operator's alone (mode 0700) and is never served.
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
"""Where it is there, a database remembers in place of the folder: this one."""
UNFINISHED_DIR = "unfinished"
RECOVERY_DIR = "recovery"
PENDING_DIR = "pending"
"""Where it is there, a change of keys was begun, and not finished."""
PEP458 = "pep458"
DEFAULT_EXPECTED_FILES = 10_000
_FORMAT = 1
_MAX_DAYS = 3650
# As long as an old `claimed` is good, a thief of the online keys can show a new client a repository
# in which a project is not claimed yet.
_MAX_CLAIMED_DAYS = 35


@dataclass(frozen=True)
class Expiry:
    """How long signatures are valid, in days, for each role.

    One key signs timestamp, snapshot and bins: bins that live as short as the timestamp would add
    no freshness, and renewing them daily would change every bin's version and so spoil every
    client's cache. ``recently-claimed`` lives as long as the bins, for it is signed with their
    key. ``claimed`` is what an attacker with that key would want to freeze.
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
        """How long a new signature of ``role`` (by its name, ``bin-3f`` say) is valid.

        A shard (``claimed.ab``) lives as long as the role that it is a part of.
        """
        days: dict[str, int] = asdict(self)
        return timedelta(days=days.get(role.partition(".")[0].replace("-", "_"), self.bin_n))


def parse_expiry(settings: Iterable[str]) -> Expiry:
    """The expiry that ``settings`` ask for: ``pep458``, or ``ROLE=DAYS`` each, the last one wins.

    Raises:
        UsageError: Another word, an unknown role, or not a number of days.
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
        repository_id: Names its folders of keys.
        root_sha256: Of its first root, where the signing side's own trust begins: what lies in the
            served folders is believed only as far as it is signed.
        expiry: How long new signatures are valid.
        signers: The URI of each private key, by key id. Offline keys are gone when all is well.
        offline_keys_stay: Whether the offline keys are meant to stay where they were made: one
            machine signs for itself alone, and nobody else is there to bring them.
        name: What people call it, for its status page; "" where nobody has said.
        url: Where people reach it, likewise.
        moved_to: The address at which it is now; "" where it stayed. Nothing is signed elsewhere.
        remembered_in: What remembers there (``Site.memory``); "" where that is what did before.
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
        """Whether it is elsewhere than at ``address``, or something else remembers."""
        return self.remembered_in != "" or self.moved_to not in ("", address)

    def to_json(self) -> bytes:
        """The file's contents."""
        document = {"format": _FORMAT, **asdict(self)}
        return (json.dumps(document, indent=1) + "\n").encode()


def load_config(folder: Path) -> Config:
    """The settings of the repository in ``folder``.

    Raises:
        NotARepositoryError: There is none.
        RepositoryStateError: The file is damaged, or cannot be read.
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
    """See to it that the memory of a repository is not in a database.

    Args:
        folder: What this machine has of it.
        address: Where it is, for people; by default in ``folder``.

    Raises:
        RepositoryStateError: It is.
    """
    mark = folder / STATE_DIR / DATABASE_NAME
    if mark.exists():
        raise RepositoryStateError(
            f"the repository in {address or folder} remembers in a database: "
            f"{mark.read_text().strip():.300}",
            remedy="Name it, with its user and password, with --database or in SECUREPIP_DATABASE.",
        )


def parse_config(data: bytes, where: str) -> Config:
    """The settings that ``Config.to_json`` has written; ``where``, for people.

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
