"""``repo recover``: what to do when keys were stolen."""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from securepip.cli import console
from securepip.cli.options import new_command
from securepip.cli.repo.ceremony import public_keys
from securepip.cli.repo.keys import add_key_options, confirm, new_passphrase, open_repository
from securepip.cli.repo.rotate import add_new_key_options
from securepip.errors import UsageError

if TYPE_CHECKING:
    from securepip.signing.offline.recover import Findings, Recovered

    Commands = argparse._SubParsersAction[argparse.ArgumentParser]

_SHOWN = 20


def add_to(commands: Commands) -> None:
    """Add the command to those of ``repo``."""
    summary = "when keys were stolen: replace them, and restore what was signed with them"
    parser = new_command(commands, "recover", summary)
    parser.add_argument("folder", type=Path, metavar="DIR", help="the repository")
    parser.add_argument(
        "--good", type=Path, required=True, metavar="COPY",
        help="a copy of the repository (its folders metadata, simple, packages) from before",
    )  # fmt: skip
    parser.add_argument(
        "--stolen", action="append", default=[], metavar="ROLE",
        help="an offline key was stolen too: targets, bins, claimed or root; may be repeated",
    )  # fmt: skip
    add_new_key_options(parser)
    parser.add_argument(
        "--bundle", type=Path, metavar="BUNDLE",
        help="the offline keys are elsewhere: write what they are to sign into this folder, have "
        "it signed with `repo ceremony sign`, and run the same command again",
    )  # fmt: skip
    parser.add_argument(
        "--new-key", action="append", default=[], metavar="ROLE=FILE",
        help="with --bundle: the public half of the new key of targets, bins, …; may be repeated",
    )  # fmt: skip
    parser.add_argument("--yes", action="store_true", help="go on without asking")
    add_key_options(parser)
    parser.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    from securepip.signing.keys import ring as keys
    from securepip.signing.offline.recover import OfflineKeys, Waiting, recover
    from securepip.signing.offline.rotate import NewKeys

    if not arguments.offline_keys and arguments.bundle is None:
        raise UsageError(
            "the offline keys are needed",
            remedy="--offline-keys DIR names the folder that they are in; with --bundle BUNDLE "
            "they sign elsewhere.",
        )

    def sure(findings: Findings) -> bool:
        _show_findings(findings)
        return confirm(arguments, "Go on?")

    with open_repository(arguments, tuple(arguments.offline_keys)) as repository:
        default = keys.default_folder(repository.config.repository_id, keys.ONLINE)
        secret = cache(lambda: new_passphrase(arguments))
        uris = tuple(arguments.new_key_uri)
        folder = next(iter(arguments.offline_keys), Path())
        done = recover(
            repository,
            arguments.good,
            online=NewKeys(arguments.keys or default, None if uris else secret(), uris),
            offline=OfflineKeys(
                NewKeys(folder, None if arguments.bundle else secret()),
                public_keys(arguments.new_key),
                arguments.bundle,
            ),
            stolen=arguments.stolen,
            confirm=sure,
        )
    if done is None:
        console.say("Nothing was changed.")
        return 1
    if isinstance(done, Waiting):
        console.say(f"Carry {done.bundle} to the key holders. Each types, without a network:")
        console.say("  securepip repo ceremony sign BUNDLE --keys DIR")
        console.say("Then run this command again.")
        return 0
    _show_report(done)
    return 0


def _show_findings(findings: Findings) -> None:
    if findings.resumed:
        console.say("This goes on with a recovery that was interrupted.")
    console.say(f"The copy is of snapshot version {findings.copy_snapshot}, and validly signed.")
    if not findings.valid:
        console.say(f"The current state is not validly signed: {findings.problem}")
    changes = findings.changes
    _show("not in the copy", (each.path for each in changes if each.before is None))
    _show("changed since", (each.path for each in changes if each.before and each.after))
    _show("gone since", (each.path for each in changes if each.after is None))
    console.say(
        "Everything that the online key signed becomes what it is in the copy; what the offline\n"
        "keys and projects signed themselves stays. The keys of timestamp, snapshot, targets,\n"
        "bins, bin-n and recently-claimed are replaced."
    )


def _show_report(report: Recovered) -> None:
    _show("restored", report.restored)
    _show("dropped", report.dropped)
    _show("kept, as the project itself signed it", report.kept)
    _show("has to claim again", report.unclaimed)
    _show("lost", (f"{path}: {why}" for path, why in report.lost.items()))
    _show("key that counts no more", report.keys_gone)
    _show("new key", report.keys_came)
    if Path(report.set_aside).exists():
        console.say(f"Set aside for those who look into it: {report.set_aside}")
    console.say(
        f"Root is at version {report.root_version}, the snapshot at {report.snapshot_version}. "
        "Clients come back by themselves,\nalso those that saw what the thief had signed. What "
        "was dropped and was yours, publish again."
    )


def _show(what: str, names: Iterable[str]) -> None:
    listed = list(names)
    for name in listed[:_SHOWN]:
        console.say(f"{what}: {name}")
    if len(listed) > _SHOWN:
        console.say(f"{what}: {len(listed) - _SHOWN} more")
