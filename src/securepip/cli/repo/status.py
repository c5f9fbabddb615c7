"""``repo status``: the size, versions, expiry and keys of a repository."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING

from securepip.cli import console
from securepip.cli.options import Commands
from securepip.cli.repo.expiry import until, warn_of
from securepip.cli.repo.place import Place, place_command, place_of
from securepip.errors import RepositoryStateError
from securepip.formats.layout import RECENTLY_CLAIMED_ROLE
from securepip.formats.words import counted

if TYPE_CHECKING:
    from securepip.signing.publish.status import ClaimStatus

CLAIM_WARNING_DAYS = 30
"""How long before its end a project's own signature is worth a word."""


def add_to(commands: Commands) -> None:
    """Add the command to those of ``repo``."""
    parser = place_command(commands, "status", "show size, versions, expiry and keys")
    parser.set_defaults(run=_status)


def _status(arguments: argparse.Namespace) -> int:
    return show(place_of(arguments))


def show(place: Place) -> int:
    """Say how a repository is; 1 where somebody has to do something."""
    from securepip.signing.offline.recover import RECOVERY_DIR
    from securepip.signing.offline.rotate import PENDING_DIR
    from securepip.signing.publish.accounted import check_recent
    from securepip.signing.publish.status import OFFLINE_ROLES, status
    from securepip.signing.repository.config import STATE_DIR

    with place.open("repo status") as repository:
        shown = status(repository)
        problem = None
        try:
            check_recent(repository)
        except RepositoryStateError as error:
            problem = error
    sizes = ((shown.projects, "project"), (shown.files, "file"), (shown.bins, "bin"))
    console.say(", ".join(counted(count, noun) for count, noun in sizes))
    for role in shown.roles:
        console.say(
            f"{role.name:17} version {role.version:<6} {until(role.expires)}; "
            f"needs {role.threshold} of {counted(role.key_count, 'key')}, {len(role.keys)} here"
        )
    _show_claims(shown.claims)
    for uri in dict.fromkeys(uri for role in shown.roles for uri in role.keys):
        console.say(f"key here: {uri}")
    if shown.offline_keys_stay:
        console.say(
            "First use: this machine signs for itself, so the offline keys stay here. Copy them to "
            "another place before others trust this repository."
        )
    elif any(role.keys for role in shown.roles if role.name in OFFLINE_ROLES):
        console.warn("Offline keys are still on this machine. Take them away.")
    if not shown.named:
        console.warn(
            "Roles need not say their names yet, so that a mirror could show one bin for another. "
            "Run `repo refresh`, then have `targets` signed: `repo refresh --offline-keys DIR`, or "
            "`repo ceremony`."
        )
    for unfinished, command in ((PENDING_DIR, "rotate"), (RECOVERY_DIR, "recover")):
        if (place.folder / STATE_DIR / unfinished).exists():
            console.warn(f"A `repo {command}` was interrupted. Run it again to finish it.")
    if problem is not None:
        console.show_error(problem)
    return 1 if warn_of(shown.waiting, place) or problem else 0


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
            f"{claim.project}: in {claim.top}, {until(each.expires)}"
            + "".join(f"; {note}" for note in notes),
            level=0 if noteworthy else 1,
        )
    if claims:
        waiting = sum(each.claim.top == RECENTLY_CLAIMED_ROLE for each in claims)
        many = counted(len(claims), "project signs for itself", "projects sign for themselves")
        console.say(f"{many}; {counted(waiting, 'waits', 'wait')} for `promote`")
