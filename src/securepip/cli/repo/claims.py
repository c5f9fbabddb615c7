"""``repo claim``, ``accept``, ``promote``, ``freeze``: projects that sign for themselves."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from securepip.cli import console
from securepip.cli.options import new_command
from securepip.cli.repo.keys import add_key_options, open_repository
from securepip.formats.layout import CLAIMED_ROLE

if TYPE_CHECKING:
    from securepip.signing.claims.transactions.accept import Accepted

    Commands = argparse._SubParsersAction[argparse.ArgumentParser]


def add_to(commands: Commands) -> None:
    """Add the commands to those of ``repo``."""
    _add_claim(commands)
    _add_accept(commands)
    _add_promote(commands)
    _add_freeze(commands)


def _new(commands: Commands, name: str, summary: str) -> argparse.ArgumentParser:
    parser = new_command(commands, name, summary)
    parser.add_argument("folder", type=Path, metavar="DIR", help="the repository")
    add_key_options(parser)
    return parser


def _add_claim(commands: Commands) -> None:
    parser = _new(commands, "claim", "let a project sign for itself, as its maintainers ask")
    parser.add_argument("request", type=Path, metavar="REQUEST", help="made by `sign claim`")
    parser.add_argument(
        "--replace-keys", action="store_true",
        help="give a project other keys, because those of before are lost",
    )  # fmt: skip
    parser.add_argument(
        "--offline-keys", type=Path, metavar="DIR",
        help="the folder of the offline keys, where a claimed project's keys are replaced",
    )  # fmt: skip
    parser.set_defaults(run=_claim)


def _claim(arguments: argparse.Namespace) -> int:
    from securepip.signing.claims.transactions.accept import claim

    with open_repository(arguments, (arguments.offline_keys,)) as repository:
        done = claim(repository, arguments.request, replace_keys=arguments.replace_keys)
    if done.checked is None or done.checked.statement is None:
        console.say("Nothing to do: this claim is in effect already.")
        return 0
    project = done.checked.page.project
    holders = done.checked.statement.statement.holders
    console.say(f"{project} signs for itself from now on, with {holders.threshold} of the keys")
    for keyid in holders.keyids:
        console.say(f"  {keyid}")
    before = done.checked.before.claim
    if before is not None and before.top == CLAIMED_ROLE:
        return 0
    console.say(
        "Until `securepip repo promote` has signed that with the offline keys, whoever has the\n"
        "online key could give the project other keys."
    )
    return 0


def _add_accept(commands: Commands) -> None:
    parser = _new(commands, "accept", "publish what the maintainers of a project have signed")
    parser.add_argument("transaction", type=Path, metavar="TRANSACTION")
    parser.add_argument(
        "--restore", action="store_true", help="also what was removed from the repository before"
    )
    parser.set_defaults(run=_accept)


def _accept(arguments: argparse.Namespace) -> int:
    from securepip.signing.claims.transactions.accept import accept

    with open_repository(arguments) as repository:
        done = accept(repository, arguments.transaction, restore=arguments.restore)
    _show(done)
    return 0


def _show(done: Accepted) -> None:
    checked = done.checked
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
    if done.waiting:
        console.say(
            f"The keys of {project} stand in offline metadata: they change when the offline keys\n"
            "are here (`securepip repo promote`, or a ceremony). Until then the present keys "
            "sign.\nIf one of them was stolen, accept nothing of the project until then: "
            "`securepip repo freeze`."
        )
        return
    if checked.statement is not None:
        holders = checked.statement.statement.holders
        console.say(f"{project} is signed with {holders.threshold} of {len(holders.keys)} keys now")
    if done.outdated:
        console.warn(
            f"The change of the keys of {project} that waits for the offline keys is outdated: the "
            f"keys that are to come have not signed this release.\nIts maintainers ask for it "
            f"again: securepip sign keys {project}"
        )
    signed_by = ", ".join(keyid[:12] for keyid in checked.signed_by)
    console.say(f"{project} is at version {checked.role.signed.version}, signed with {signed_by}")


def _add_promote(commands: Commands) -> None:
    parser = _new(commands, "promote", "put claims of projects under the offline keys")
    parser.add_argument(
        "projects", nargs="*", metavar="PROJECT", help="of none, all that wait for it"
    )
    parser.add_argument(
        "--offline-keys", type=Path, metavar="DIR", help="the folder of the offline keys"
    )
    parser.set_defaults(run=_promote)


def _promote(arguments: argparse.Namespace) -> int:
    from securepip.formats.layout import parse_project
    from securepip.signing.claims.promote import promote

    names = {parse_project(name) for name in arguments.projects}
    with open_repository(arguments, (arguments.offline_keys,)) as repository:
        done = promote(repository, names).promotion
    for project in done.moved:
        console.say(f"{project} is claimed: only the offline keys can give it other keys")
    for project in done.rekeyed:
        console.say(f"{project} is signed with its new keys from now on")
    for project, why in done.outdated.items():
        console.warn(
            f"The change of the keys of {project} is dropped: {why}\n"
            f"Its maintainers ask for it again: securepip sign keys {project}"
        )
    for project in done.frozen:
        console.warn(
            f"{project} is frozen: the change of its keys waits on. If you know that its "
            f"maintainers have asked for it:\nsecurepip repo promote DIR {project}"
        )
    if not done.moved and not done.rekeyed:
        console.say("Nothing to do: no project waits for the offline keys.")
    return 1 if done.outdated else 0


def _add_freeze(commands: Commands) -> None:
    parser = _new(commands, "freeze", "accept nothing of a project, when its keys may be stolen")
    parser.add_argument("project", metavar="PROJECT")
    parser.add_argument("--reason", default="", metavar="TEXT", help="why, for those who ask")
    parser.add_argument("--lift", action="store_true", help="accept its transactions again")
    parser.set_defaults(run=_freeze)


def _freeze(arguments: argparse.Namespace) -> int:
    from securepip.formats.layout import parse_project
    from securepip.signing.repository.register import Register

    project = parse_project(arguments.project)
    with open_repository(arguments) as repository, repository.lock():
        register = Register(repository)
        if arguments.lift:
            was = register.thaw(project)
            console.say(f"{project} {'is not' if was else 'was not'} frozen")
            return 0
        register.freeze(project, arguments.reason)
    console.say(f"{project} is frozen: what is published stays, and nothing more is accepted.")
    return 0
