"""``repo claim``, ``accept``, ``promote``, ``freeze``: projects that sign for themselves."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from securepip.cli import console
from securepip.cli.keys import short
from securepip.cli.options import Commands, add_why
from securepip.cli.repo.place import (
    Place,
    add_offline_keys,
    add_restore,
    place_command,
    place_of,
)
from securepip.formats.layout import CLAIMED_ROLE
from securepip.formats.words import counted

if TYPE_CHECKING:
    from securepip.signing.claims.transactions.accept import Accepted


def add_to(commands: Commands) -> None:
    """Add the commands to those of ``repo``."""
    _add_claim(commands)
    _add_accept(commands)
    _add_promote(commands)
    _add_freeze(commands)


def _add_claim(commands: Commands) -> None:
    parser = place_command(
        commands, "claim", "let a project sign for itself, as its maintainers ask"
    )
    parser.add_argument("request", type=Path, metavar="REQUEST", help="made by `sign claim`")
    parser.add_argument(
        "--replace-keys", action="store_true",
        help="give a project other keys, because those of before are lost",
    )  # fmt: skip
    add_offline_keys(
        parser, "the folder of the offline keys, where a claimed project's keys are replaced"
    )
    parser.set_defaults(run=_claim)


def _claim(arguments: argparse.Namespace) -> int:
    place = place_of(arguments, [arguments.offline_keys])
    return claim(place, arguments.request, replace_keys=arguments.replace_keys)


def claim(place: Place, request: Path, *, replace_keys: bool = False) -> int:
    """Let a project sign for itself, as the ``request`` of its maintainers asks."""
    from securepip.signing.claims.transactions.accept import claim as accept_claim

    with place.open("repo claim", request.name) as repository:
        accepted = accept_claim(repository, request, replace_keys=replace_keys)
    if accepted.checked is None or accepted.checked.statement is None:
        console.say("Nothing to do: this claim is in effect already.")
        return 0
    project = accepted.checked.page.project
    holders = accepted.checked.statement.statement.holders
    console.say(f"{project} signs for itself from now on, with {holders.threshold} of the keys")
    for keyid in holders.keyids:
        console.say(f"  {keyid}")
    before = accepted.checked.before.claim
    if before is not None and before.top == CLAIMED_ROLE:
        return 0
    console.say(
        "Until `securepip repo promote` has signed that with the offline keys, whoever has the\n"
        "online key could give the project other keys."
    )
    return 0


def _add_accept(commands: Commands) -> None:
    parser = place_command(
        commands, "accept", "publish what the maintainers of a project have signed"
    )
    parser.add_argument("transaction", type=Path, metavar="TRANSACTION")
    add_restore(parser)
    parser.set_defaults(run=_accept)


def _accept(arguments: argparse.Namespace) -> int:
    return accept(place_of(arguments), arguments.transaction, restore=arguments.restore)


def accept(place: Place, transaction: Path, *, restore: bool = False) -> int:
    """Publish what the maintainers of a project have signed."""
    from securepip.signing.claims.transactions.accept import accept as publish

    with place.open("repo accept", transaction.name) as repository:
        accepted = publish(repository, transaction, restore=restore)
    _show(accepted)
    return 0


def _show(accepted: Accepted) -> None:
    checked = accepted.checked
    if checked is None:
        console.say("Nothing to do: it is published already.")
        return
    project = checked.page.project
    for verb, names in (
        ("Published", checked.added),
        ("Withdrawn:", checked.withdrawn),
        ("Changed:", checked.yanked),
    ):
        for name in names:
            console.say(f"{verb} {name}")
    if accepted.waiting:
        console.say(
            f"The keys of {project} stand in offline metadata: they change when the offline keys\n"
            "are here (`securepip repo promote`, or a ceremony). Until then the present keys "
            "sign.\nIf one of them was stolen, accept nothing of the project until then: "
            "`securepip repo freeze`."
        )
        return
    if checked.statement is not None:
        holders = checked.statement.statement.holders
        keys = counted(len(holders.keys), "key")
        console.say(f"{project} is signed with {holders.threshold} of {keys} now")
    if accepted.outdated:
        console.warn(
            f"The change of the keys of {project} that waits for the offline keys is outdated: the "
            f"keys that are to come have not signed this release.\nIts maintainers ask for it "
            f"again: securepip sign keys {project}"
        )
    version = checked.role.signed.version
    console.say(f"{project} is at version {version}, signed with {short(checked.signed_by)}")


def _add_promote(commands: Commands) -> None:
    parser = place_command(commands, "promote", "put claims of projects under the offline keys")
    parser.add_argument(
        "projects", nargs="*", default=[], metavar="PROJECT", help="of none, all that wait for it"
    )
    add_offline_keys(parser, "the folder of the offline keys")
    parser.set_defaults(run=_promote)


def _promote(arguments: argparse.Namespace) -> int:
    return promote(place_of(arguments, [arguments.offline_keys]), arguments.projects)


def promote(place: Place, projects: Sequence[str] = ()) -> int:
    """Put the claims of these projects, or of all that wait for it, under the offline keys."""
    from securepip.formats.layout import parse_project
    from securepip.signing.claims.promote import promote as put_offline

    names = {parse_project(name) for name in projects}
    with place.open("repo promote", *projects) as repository:
        promotion = put_offline(repository, names).promotion
    for project in promotion.moved:
        console.say(f"{project} is claimed: only the offline keys can give it other keys")
    for project in promotion.rekeyed:
        console.say(f"{project} is signed with its new keys from now on")
    for project, why in promotion.outdated.items():
        console.warn(
            f"The change of the keys of {project} is dropped: {why}\n"
            f"Its maintainers ask for it again: securepip sign keys {project}"
        )
    for project in promotion.frozen:
        console.warn(
            f"{project} is frozen: the change of its keys waits on. If you know that its "
            f"maintainers have asked for it:\nsecurepip repo promote {place.typed} {project}"
        )
    if not promotion.moved and not promotion.rekeyed:
        console.say("Nothing to do: no project waits for the offline keys.")
    return 1 if promotion.outdated else 0


def _add_freeze(commands: Commands) -> None:
    parser = place_command(
        commands, "freeze", "accept nothing of a project, when its keys may be stolen"
    )
    parser.add_argument("project", metavar="PROJECT")
    add_why(parser, "--reason")
    parser.add_argument("--lift", action="store_true", help="accept its transactions again")
    parser.set_defaults(run=_freeze)


def _freeze(arguments: argparse.Namespace) -> int:
    place = place_of(arguments)
    if arguments.lift:
        return thaw(place, arguments.project)
    return freeze(place, arguments.project)


def freeze(place: Place, project: str) -> int:
    """Accept no more transactions of a project."""
    from securepip.formats.layout import parse_project
    from securepip.signing.repository.register import Register

    name = parse_project(project)
    with place.open("repo freeze", name) as repository, repository.lock():
        Register(repository).freeze(name, place.words)
        repository.log.note(repository.roles().timestamp.signed)
    console.say(f"{name} is frozen: what is published stays, and nothing more is accepted.")
    return 0


def thaw(place: Place, project: str) -> int:
    """Accept the transactions of a project again."""
    from securepip.formats.layout import parse_project
    from securepip.signing.repository.register import Register

    name = parse_project(project)
    with place.open("repo freeze --lift", name) as repository, repository.lock():
        was_frozen = Register(repository).thaw(name)
        if was_frozen:
            repository.log.note(repository.roles().timestamp.signed)
    console.say(f"{name} {'is not frozen any more' if was_frozen else 'was not frozen'}")
    return 0
