"""``securepip repo``: the signing side."""

from __future__ import annotations

import argparse
import shlex
import signal
import threading
from collections.abc import Sequence
from datetime import datetime, timedelta, timezone
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from securepip.cli import console
from securepip.cli.options import new_command
from securepip.cli.repo import audit, ceremony, claims, recover, rotate, sync
from securepip.cli.repo.keys import add_key_options, new_passphrase, open_repository, pin
from securepip.errors import RepositoryStateError, UsageError
from securepip.formats.layout import RECENTLY_CLAIMED_ROLE
from securepip.signing.repository.config import DEFAULT_EXPECTED_FILES, STATE_DIR

if TYPE_CHECKING:
    from types import FrameType

    from securepip.signing.publish.status import ClaimStatus

    Commands = argparse._SubParsersAction[argparse.ArgumentParser]

CLAIM_WARNING_DAYS = 30
"""How long before its end a project's own signature is worth a word."""


def complete(parser: argparse.ArgumentParser) -> None:
    """Add the commands of ``repo``."""
    inner = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    _add_init(inner)
    _add_add(inner)
    _add_remove(inner)
    _add_refresh(inner)
    _add_status(inner)
    _add_serve(inner)
    sync.add_to(inner)
    claims.add_to(inner)
    rotate.add_to(inner)
    ceremony.add_to(inner)
    audit.add_to(inner)
    recover.add_to(inner)


def _new(inner: Commands, name: str, summary: str) -> argparse.ArgumentParser:
    parser = new_command(inner, name, summary)
    parser.add_argument("folder", type=Path, metavar="DIR", help="the repository")
    return parser


def _add_init(inner: Commands) -> None:
    parser = _new(inner, "init", "make an empty repository, and its keys")
    parser.add_argument(
        "--expected-files", type=int, default=DEFAULT_EXPECTED_FILES, metavar="N",
        help="about how many files it will hold; decides into how many parts its list is cut",
    )  # fmt: skip
    parser.add_argument(
        "--expiry", action="append", default=[], metavar="ROLE=DAYS",
        help="how long signatures of a role are valid, or `pep458` for one day; may be repeated",
    )  # fmt: skip
    add_key_options(parser)
    parser.add_argument(
        "--offline-keys", type=Path, metavar="DIR", help="where the offline keys are put"
    )
    parser.add_argument(
        "--online-key-uri", metavar="URI",
        help="an online key that is on a device or in a key service, such as hsm:2?label=TOKEN",
    )  # fmt: skip
    parser.set_defaults(run=_init)


def _init(arguments: argparse.Namespace) -> int:
    from securepip.signing.publish.create import create
    from securepip.signing.repository.config import parse_expiry

    if arguments.expected_files < 1:
        raise UsageError("--expected-files: at least 1")
    expiry = parse_expiry(arguments.expiry)
    made = create(
        arguments.folder,
        expected_files=arguments.expected_files,
        expiry=expiry,
        online_keys=arguments.keys,
        offline_keys=arguments.offline_keys,
        passphrase=new_passphrase(arguments),
        online_key_uri=arguments.online_key_uri,
        pin=cache(lambda: pin(arguments)),
    )
    folder = made.repository.folder
    console.say(f"Made a repository with {made.bins} bins in {folder}")
    console.say(f"  root:         {made.root}")
    console.say(f"  root sha256:  {made.root_sha256}")
    console.say(f"  online key:   {arguments.online_key_uri or made.online_keys}")
    console.say(f"  offline keys: {made.offline_keys}")
    console.say(
        "Take the offline keys away now, to a place that is not on a network: adding, syncing,\n"
        "removing and refreshing do not need them. Without two of the three root keys, nobody can\n"
        "replace a key that was lost or stolen."
    )
    console.say("Publish the root's sha256 where your users look. They type:")
    location = shlex.quote(str(folder))
    console.say(f"  securepip trust add NAME {location} --root-sha256 {made.root_sha256}")
    return 0


def _add_add(inner: Commands) -> None:
    parser = _new(inner, "add", "publish wheels and source distributions")
    parser.add_argument("files", type=Path, nargs="+", metavar="FILE")
    parser.add_argument(
        "--restore", action="store_true", help="also what was removed from the repository before"
    )
    add_key_options(parser)
    parser.set_defaults(run=_add)


def _add(arguments: argparse.Namespace) -> int:
    from securepip.signing.publish.add import add

    with open_repository(arguments) as repository:
        published = add(repository, arguments.files, restore=arguments.restore)
    if published.projects:
        console.say(f"Published: {' '.join(published.projects)}")
        _say_signed(published.signed)
    else:
        console.say("Nothing to do: all of it is published already.")
    return 0


def _add_remove(inner: Commands) -> None:
    parser = _new(inner, "remove", "revoke a project, a version or a file, for good")
    parser.add_argument("what", metavar="PROJECT|PROJECT==VERSION|FILENAME")
    add_key_options(parser)
    parser.set_defaults(run=_remove)


def _remove(arguments: argparse.Namespace) -> int:
    from securepip.signing.publish.remove import remove

    with open_repository(arguments) as repository:
        removed = remove(repository, arguments.what)
    for filename in removed.filenames:
        console.say(f"Removed {filename}")
    if removed.whole_project:
        console.say(f"Removed the project {removed.project}")
    return 0


def _add_refresh(inner: Commands) -> None:
    parser = _new(inner, "refresh", "sign again what is about to expire; for cron")
    add_key_options(parser)
    parser.add_argument(
        "--offline-keys", type=Path, metavar="DIR",
        help="sign what needs the offline keys too, which are in this folder",
    )  # fmt: skip
    parser.set_defaults(run=_refresh)


def _refresh(arguments: argparse.Namespace) -> int:
    from securepip.signing.publish.refresh import refresh

    with open_repository(arguments, (arguments.offline_keys,)) as repository:
        done = refresh(repository, offline=arguments.offline_keys is not None)
    if done.signed:
        _say_signed(done.signed)
    else:
        console.say("Nothing to do: everything is valid for long enough.")
    return 1 if _warn_of(done.waiting, arguments.folder) else 0


def _add_status(inner: Commands) -> None:
    parser = _new(inner, "status", "show size, versions, expiry and keys")
    add_key_options(parser)
    parser.set_defaults(run=_status)


def _status(arguments: argparse.Namespace) -> int:
    from securepip.signing.offline.audit import check_own
    from securepip.signing.offline.recover import RECOVERY_DIR
    from securepip.signing.offline.rotate import PENDING_DIR
    from securepip.signing.publish.status import OFFLINE_ROLES, status

    with open_repository(arguments) as repository:
        shown = status(repository)
        problem = None
        try:
            check_own(repository)
        except RepositoryStateError as error:
            problem = error
    console.say(f"{shown.projects} projects, {shown.files} files, {shown.bins} bins")
    for role in shown.roles:
        console.say(
            f"{role.name:17} version {role.version:<6} {_until(role.expires)}; "
            f"needs {role.threshold} of {role.key_count} keys, {len(role.keys)} here"
        )
    _show_claims(shown.claims)
    for uri in dict.fromkeys(uri for role in shown.roles for uri in role.keys):
        console.say(f"key here: {uri}")
    if any(role.keys for role in shown.roles if role.name in OFFLINE_ROLES):
        console.warn("Offline keys are still on this machine. Take them away.")
    if not shown.named:
        console.warn(
            "Roles need not say their names yet, so that a mirror could show one bin for another. "
            "Run `repo refresh`, then have `targets` signed: `repo refresh --offline-keys DIR`, or "
            "`repo ceremony`."
        )
    for unfinished, command in ((PENDING_DIR, "rotate"), (RECOVERY_DIR, "recover")):
        if (arguments.folder / STATE_DIR / unfinished).exists():
            console.warn(f"A `repo {command}` was interrupted. Run it again, to its end.")
    if problem is not None:
        console.show_error(problem)
    return 1 if _warn_of(shown.waiting, arguments.folder) or problem else 0


def _show_claims(claims: Sequence[ClaimStatus]) -> None:
    """Projects that sign for themselves: all when asked, else those that want to be looked at."""
    soon = datetime.now(timezone.utc) + timedelta(days=CLAIM_WARNING_DAYS)
    for each in claims:
        notes = [
            *(["frozen"] if each.frozen is not None else []),
            *(["other keys wait for the offline keys"] if each.pending else []),
        ]
        claim, noteworthy = each.claim, bool(notes) or each.expires < soon
        console.say(
            f"{claim.project}: in {claim.top}, {_until(each.expires)}"
            + "".join(f"; {note}" for note in notes),
            level=0 if noteworthy else 1,
        )
    if claims:
        waiting = sum(each.claim.top == RECENTLY_CLAIMED_ROLE for each in claims)
        console.say(f"{len(claims)} projects sign for themselves; {waiting} wait for `promote`")


def _add_serve(inner: Commands) -> None:
    parser = _new(inner, "serve", "serve the repository over HTTP")
    parser.add_argument("--host", default="127.0.0.1", help="default: this machine only")
    parser.add_argument("--port", type=int, default=0, help="default: any that is free")
    parser.set_defaults(run=_serve)


def _serve(arguments: argparse.Namespace) -> int:
    from securepip.signing.publish.serve import RepositoryServer

    server = RepositoryServer(
        arguments.folder,
        arguments.host,
        arguments.port,
        log=lambda line: console.say(line, level=1),
    )

    def stop(_number: int, _frame: FrameType | None) -> None:
        # Not from this thread: it is the one that serves, and shutdown waits for it.
        threading.Thread(target=server.shutdown, daemon=True).start()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)
    console.say(f"Serving {arguments.folder} at {server.url}")
    with server:
        server.serve_forever(poll_interval=0.1)
    return 0


def _say_signed(names: Sequence[str]) -> None:
    bins = sum(name.startswith("bin-") for name in names)
    others = [name for name in names if not name.startswith("bin-")]
    console.say("Signed: " + ", ".join([*([f"{bins} bins"] if bins else []), *others]))


def _warn_of(waiting: Sequence[tuple[str, datetime]], folder: Path) -> bool:
    for name, expires in waiting:
        console.warn(f"The role {name} {_until(expires)}, and only its offline key can renew it.")
    if waiting:
        console.warn(
            "When one of these expires, no client can install anything. Bring the offline keys:\n"
            f"securepip repo refresh {shlex.quote(str(folder))} --offline-keys DIR"
        )
    return bool(waiting)


def _until(expires: datetime) -> str:
    days = (expires - datetime.now(timezone.utc)).total_seconds() / 86400
    moment = f"{expires:%Y-%m-%d %H:%M} UTC"
    if days < 0:
        return f"EXPIRED on {moment}"
    return f"expires on {moment} (in {days:.0f} days)"
