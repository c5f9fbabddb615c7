"""``repo status``: shows what a person has to do, then size, expiry and keys of a repository."""

from __future__ import annotations

import argparse
import json
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
    from securepip.signing.publish.status import ClaimStatus, Status

CLAIM_WARNING_DAYS = 30
"""How many days before a project's own signature expires it is shown."""


def add_to(commands: Commands) -> None:
    """Add the command to those of ``repo``."""
    parser = place_command(
        commands, "status", "show what needs a person and by when, then size, expiry and keys"
    )
    parser.add_argument("--json", action="store_true", help="for machines")
    parser.set_defaults(run=_status)


def _status(arguments: argparse.Namespace) -> int:
    return show(place_of(arguments), as_json=arguments.json)


def show(place: Place, *, as_json: bool = False) -> int:
    """Print the status of a repository, first what a person has to do; 1 where that is urgent."""
    from securepip.signing.publish.accounted import check_recent
    from securepip.signing.publish.status import status, unfinished_of

    with place.open("repo status") as repository:
        shown, unfinished = status(repository), unfinished_of(repository)
        problem = None
        try:
            check_recent(repository)
        except RepositoryStateError as error:
            problem = error
    if as_json:
        console.say_machine(json.dumps(_document(shown, problem)))
        return 1 if problem or any(each.urgent for each in shown.waiting) else 0
    urgent = warn_of(shown.waiting, place)
    _warn_of_the_rest(shown, unfinished)
    noteworthy = _show_claims(shown.claims)
    if not (shown.waiting or noteworthy or problem):
        _say_next(shown)
    sizes = ((shown.projects, "project"), (shown.files, "file"), (shown.bins, "bin"))
    console.say(", ".join(counted(count, noun) for count, noun in sizes))
    console.say(f"\n{'role':16}  {'signed until':28}  keys that sign  here")
    for role in shown.roles:
        needed = f"{role.threshold} of {role.key_count}"
        console.say(f"{role.name:16}  {_day(role.expires):28}  {needed:14}  {len(role.keys)}")
        for uri in role.keys:
            console.say(f"    version {role.version}, key here: {uri}", level=1)
    if problem is not None:
        console.show_error(problem)
    return 1 if urgent or problem else 0


def _warn_of_the_rest(shown: Status, unfinished: Sequence[str]) -> None:
    """Warn of what a person has to do that is not tied to an expiry date."""
    from securepip.signing.publish.status import OFFLINE_ROLES

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
    for command in unfinished:
        console.warn(f"A `repo {command}` was interrupted. Run it again to finish it.")


def _say_next(shown: Status) -> None:
    """Print when a person is needed next, where nothing is to be done now."""
    from securepip.signing.publish.status import OFFLINE_ROLES

    offline = [role for role in shown.roles if role.name in OFFLINE_ROLES]
    first = min(offline, key=lambda role: role.expires)
    if not shown.offline_keys_stay:
        renewed = f"an offline key has to renew {first.name} by then"
        console.say(f"No signature needs a person before {_day(first.expires)}:\n{renewed}.")


def _day(moment: datetime) -> str:
    """``2030-01-31 (in 30 days)``, or that the day is in the past."""
    days = (moment - datetime.now(timezone.utc)).total_seconds() / 86400
    when = f"in {counted(round(days), 'day')}" if days >= 0 else "EXPIRED"
    return f"{moment:%Y-%m-%d} ({when})"


def _document(shown: Status, problem: RepositoryStateError | None) -> object:
    """The status as JSON."""
    return {
        "problem": None if problem is None else problem.what,
        "waiting": [
            {"role": each.role, "expires": each.expires.isoformat(), "urgent": each.urgent}
            for each in shown.waiting
        ],
        "projects": shown.projects,
        "files": shown.files,
        "bins": shown.bins,
        "roles": [
            {
                "name": role.name,
                "version": role.version,
                "expires": role.expires.isoformat(),
                "threshold": role.threshold,
                "keys": role.key_count,
                "keys_here": list(role.keys),
            }
            for role in shown.roles
        ],
        "claims": [
            {
                "project": each.claim.project,
                "role": each.claim.top,
                "version": each.version,
                "expires": each.expires.isoformat(),
                "frozen": each.frozen,
                "pending": each.pending,
            }
            for each in shown.claims
        ],
        "roles_say_their_names": shown.named,
        "offline_keys_stay": shown.offline_keys_stay,
    }


def _show_claims(claims: Sequence[ClaimStatus]) -> bool:
    """Print the projects that sign for themselves: noteworthy ones, or all with ``--verbose``.

    Noteworthy are those that are frozen, wait for the offline keys, or expire soon.

    Returns:
        Whether one of them is noteworthy.
    """
    any_noteworthy = False
    soon = datetime.now(timezone.utc) + timedelta(days=CLAIM_WARNING_DAYS)
    for each in claims:
        notes = [
            *(["frozen"] if each.frozen is not None else []),
            *(["other keys wait for the offline keys"] if each.pending else []),
        ]
        claim, noteworthy = each.claim, bool(notes) or each.expires < soon
        any_noteworthy = any_noteworthy or noteworthy
        console.say(
            f"{claim.project}: in {claim.top}, {until(each.expires)}"
            + "".join(f"; {note}" for note in notes),
            level=0 if noteworthy else 1,
        )
    if claims:
        waiting = sum(each.claim.top == RECENTLY_CLAIMED_ROLE for each in claims)
        many = counted(len(claims), "project signs for itself", "projects sign for themselves")
        console.say(f"{many}; {counted(waiting, 'waits', 'wait')} for `promote`")
    return any_noteworthy
