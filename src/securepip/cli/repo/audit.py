"""``repo audit``, ``repo log`` and ``repo gc``: inspecting past signatures, and cleaning up."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from securepip.cli import console
from securepip.cli.keys import short
from securepip.cli.options import Commands, Network, add_network_options, network_of, new_command
from securepip.cli.parser import whole
from securepip.cli.repo.place import Place, add_database, add_folder, place_at
from securepip.errors import NotARepositoryError, UsageError
from securepip.formats.words import counted

if TYPE_CHECKING:
    from securepip.formats.digests import Sha256
    from securepip.signing.offline.audit import Comparison
    from securepip.signing.repository.roles import Roles
    from securepip.signing.repository.state.log import Entry
    from securepip.transport import Transport

_DEFAULT_DAYS = 28
_MAX_DAYS = 36_500


def add_to(commands: Commands) -> None:
    """Add the commands to those of ``repo``."""
    _add_audit(commands)
    _add_log(commands)
    _add_gc(commands)


def _add_audit(commands: Commands) -> None:
    parser = new_command(
        commands, "audit", "compare two copies of a repository, or one with its log"
    )
    parser.add_argument("first", metavar="A", help="a repository, a copy of one, or its URL")
    parser.add_argument("second", metavar="B", nargs="?", help="another; without it, A's own log")
    parser.add_argument(
        "--root-sha256", metavar="HEX",
        help="the fingerprint of the first root, where neither is a repository's own folder",
    )  # fmt: skip
    parser.add_argument(
        "--rebuild", action="store_true",
        help="read all that is signed, and put right what the ledger of A says of it",
    )  # fmt: skip
    parser.add_argument("--json", action="store_true", help="for machines")
    add_database(parser)
    add_network_options(parser)
    parser.set_defaults(run=_audit)


@dataclass(frozen=True)
class AuditRequest:
    """``securepip repo audit``.

    Attributes:
        first: A repository, a copy of one, or its URL.
        second: Another one; None to compare the first with its own log.
        root_sha256: The fingerprint of the first root version.
        rebuild: Read all signed metadata, and correct the ledger.
        json: Print JSON for a program.
        network: How servers are reached.
        database: The URL of the first one's database; None for that of the environment, if any.
    """

    first: str
    second: str | None = None
    root_sha256: str | None = None
    rebuild: bool = False
    json: bool = False
    network: Network = field(default_factory=Network)
    database: str | None = None


def _audit(arguments: argparse.Namespace) -> int:
    return audit(
        AuditRequest(
            arguments.first,
            arguments.second,
            arguments.root_sha256,
            arguments.rebuild,
            arguments.json,
            network_of(arguments),
            arguments.database,
        )
    )


def audit(request: AuditRequest) -> int:
    """Compare two states of a repository, or one with its log or ledger; 1 where they differ.

    Raises:
        UsageError: ``rebuild`` is set and two repositories are named, or no root is known.
    """
    from tempfile import TemporaryDirectory

    from securepip.signing.offline.audit import compare

    if request.second is None:
        return _rebuild(request) if request.rebuild else _audit_own(request)
    if request.rebuild:
        raise UsageError("--rebuild takes one repository, by its own folder")
    places = (request.first, request.second)
    own = (Place(request.first, database=request.database), Place(request.second))
    root_sha256 = _fingerprint(request.root_sha256, own)
    with (
        request.network.transport() as transport,
        TemporaryDirectory(prefix="securepip-") as folder,
    ):
        first, second = (
            _state(place, Path(folder) / str(number), transport, root_sha256)
            for number, place in enumerate(places)
        )
        comparison = compare(first, second)
    if request.json:
        console.say_machine(json.dumps(asdict(comparison)))
    else:
        _show(comparison)
    return 1 if comparison else 0


def _audit_own(request: AuditRequest) -> int:
    from securepip.signing.publish.accounted import check_own

    with Place(request.first, database=request.database).read() as repository:
        entries = check_own(repository)
    if request.json:
        console.say_machine(json.dumps({"entries": len(entries)}))
    else:
        many = counted(len(entries), "entry", "entries")
        console.say(f"All that is current was signed here; the log has {many}.")
    return 0


def _rebuild(request: AuditRequest) -> int:
    with Place(request.first, database=request.database).read() as repository, repository.lock():
        wrong = repository.rebuild_known()
        repository.show_all()
    if request.json:
        console.say_machine(json.dumps({"wrong": wrong}))
    elif wrong:
        many = counted(len(wrong), "role")
        console.warn(f"The ledger was not true of {many}, and is now: {' '.join(wrong[:8])}")
    else:
        console.say("The ledger was true of all that is signed.")
    return 1 if wrong else 0


def _fingerprint(known: str | None, places: Sequence[Place]) -> Sha256:
    """The fingerprint of the first root: ``known``, or that in the repository's own folder.

    A copy cannot vouch for its own root.

    Raises:
        UsageError: No fingerprint is given, and neither place is a repository's own folder.
    """
    from securepip.formats.digests import parse_sha256

    if known is not None:
        return parse_sha256(known)
    for place in places:
        try:
            with place.read() as repository:
                return repository.config.root_sha256
        except (NotARepositoryError, UsageError):
            continue  # a copy. Other errors are raised: the repository itself must be readable.
    raise UsageError(
        "neither of the two is a repository's own folder, so the first root is not known",
        remedy="Give the fingerprint of the first root: --root-sha256 HEX",
    )


def _state(place: str, folder: Path, transport: Transport, root_sha256: Sha256) -> Roles:
    from securepip.formats.layout import METADATA_DIR
    from securepip.signing.offline.audit import fetch_state, read_state
    from securepip.transport import file_url_to_path
    from securepip.trust.location import parse_location

    location = parse_location(place)
    if location.startswith("file:"):
        return read_state(file_url_to_path(location) / METADATA_DIR, root_sha256)
    folder.mkdir()
    return fetch_state(location, folder, transport, root_sha256)


def _show(comparison: Comparison) -> None:
    for target in comparison.targets:
        if target.before is None:
            console.say(f"added    {target.path} {target.after}")
        elif target.after is None:
            console.say(f"removed  {target.path} {target.before}")
        else:
            console.say(f"changed  {target.path} {target.before} -> {target.after}")
    for change in comparison.keys:
        for keyid in change.gone:
            console.say(f"key of {change.role} that only the first names: {keyid}")
        for keyid in change.came:
            console.say(f"key of {change.role} that only the second names: {keyid}")
        if change.thresholds[0] != change.thresholds[1]:
            console.say(
                f"threshold of {change.role}: {change.thresholds[0]} and {change.thresholds[1]}"
            )
    bins = 0
    for role, before, after in comparison.older:
        is_bin = role.startswith("bin-")
        bins += is_bin
        # There may be thousands of them, and the targets that differ are listed above.
        console.say(f"older    {role}: version {before}, then {after}", level=int(is_bin))
    if bins:
        console.say(f"older    {counted(bins, 'bin')}")
    if not comparison:
        console.say("No difference.")


def _add_log(commands: Commands) -> None:
    parser = new_command(commands, "log", "show what was signed, when, with which keys, and why")
    add_folder(parser)
    parser.add_argument("--json", action="store_true", help="for machines")
    parser.set_defaults(run=_log)


def _log(arguments: argparse.Namespace) -> int:
    return log(place_at(arguments), as_json=arguments.json)


def log(place: Place, *, as_json: bool = False) -> int:
    """Print what was signed, when, with which keys, and why."""
    with place.read() as repository:
        for entry in repository.log.check(repository.roles().timestamp.signed):
            if as_json:
                console.say_machine(json.dumps(asdict(entry), default=str))
                continue
            console.say(f"{entry.number}  {entry.time:%Y-%m-%d %H:%M:%S} UTC  {entry.why}")
            if entry.words:
                console.say(f"    because: {entry.words}")
            _show_signed(entry)
    return 0


def _show_signed(entry: Entry) -> None:
    bins = [signed for signed in entry.signed if signed.role.startswith("bin-")]
    others = [signed for signed in entry.signed if not signed.role.startswith("bin-")]
    for signed in others:
        _show_line(f"{signed.role} version {signed.version}", signed.keyids)
    for keyids in dict.fromkeys(signed.keyids for signed in bins):
        count = sum(signed.keyids == keyids for signed in bins)
        _show_line(f"{counted(count, 'bin')}", keyids)


def _show_line(what: str, keyids: Sequence[str]) -> None:
    console.say(f"    {what}, with {short(keyids)}")


def _add_gc(commands: Commands) -> None:
    parser = new_command(commands, "gc", "delete old snapshots, and what only they lead to")
    add_folder(parser)
    parser.add_argument(
        "--grace", type=whole(0, _MAX_DAYS), default=_DEFAULT_DAYS, metavar="DAYS",
        help=f"keep what was current within so many days (default: {_DEFAULT_DAYS})",
    )  # fmt: skip
    parser.add_argument("--dry-run", action="store_true", help="only say what would be deleted")
    parser.set_defaults(run=_gc)


def _gc(arguments: argparse.Namespace) -> int:
    return gc(place_at(arguments), timedelta(days=arguments.grace), dry_run=arguments.dry_run)


def gc(place: Place, grace: timedelta, *, dry_run: bool = False) -> int:
    """Delete snapshots that were not current within ``grace``, and what only they refer to."""
    from securepip.signing.publish.gc import sweep

    with place.read() as repository:
        swept = sweep(repository, grace, dry=dry_run)
    console.say(
        f"{'Would delete' if dry_run else 'Deleted'} {counted(swept.files, 'file')} "
        f"({swept.size / 1e6:.1f} MB), {counted(swept.snapshots, 'old snapshot')} among them; "
        f"{counted(swept.kept_snapshots, 'snapshot stays', 'snapshots stay')}"
    )
    return 0
