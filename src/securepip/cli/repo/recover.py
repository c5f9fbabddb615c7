"""``repo recover``: replaces stolen keys, and restores what was signed with them."""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from securepip.cli import console
from securepip.cli.options import Commands
from securepip.cli.repo.ceremony import public_keys, say_carry
from securepip.cli.repo.place import Place, place_command, place_of
from securepip.cli.repo.rotate import add_new_key_options
from securepip.errors import UsageError

if TYPE_CHECKING:
    from securepip.signing.offline.aftermath import Recovered
    from securepip.signing.offline.recover import Findings

_SHOWN = 20


def add_to(commands: Commands) -> None:
    """Add the command to those of ``repo``."""
    summary = "when keys were stolen: replace them, and restore what was signed with them"
    parser = place_command(commands, "recover", summary)
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
    parser.set_defaults(run=_run)


@dataclass(frozen=True)
class RecoverRequest:
    """``securepip repo recover``.

    Attributes:
        place: The repository; new offline keys go into the first folder of offline keys.
        good: A copy of the repository from before the theft.
        stolen: Roles whose offline keys were stolen too.
        new_key_uris: New online keys on devices or in key services; if empty, a key is made.
        bundle: The folder for what offline keys on other machines have to sign; None where the
            offline keys are here.
        new_keys: With ``bundle``, ``ROLE=FILE``, each: the public half of a new offline key.
        sure: Continue without asking; refused where the log does not vouch for the copy.
    """

    place: Place
    good: Path
    stolen: tuple[str, ...] = ()
    new_key_uris: tuple[str, ...] = ()
    bundle: Path | None = None
    new_keys: tuple[str, ...] = ()
    sure: bool = False


def _run(arguments: argparse.Namespace) -> int:
    return run(
        RecoverRequest(
            place_of(arguments, arguments.offline_keys),
            arguments.good,
            stolen=tuple(arguments.stolen),
            new_key_uris=tuple(arguments.new_key_uri),
            bundle=arguments.bundle,
            new_keys=tuple(arguments.new_key),
            sure=arguments.yes,
        )
    )


def run(request: RecoverRequest) -> int:
    """Replace stolen keys, and restore what was signed with them; 1 where nothing was changed.

    Raises:
        UsageError: The offline keys are missing, ``sure`` is set although the log does not vouch
            for the copy, or no prompt is possible.
    """
    from securepip.signing.keys import ring as keys
    from securepip.signing.offline.recover import OfflineKeys, Waiting, recover
    from securepip.signing.offline.rotate import NewKeys

    place = request.place
    if not place.offline_keys and request.bundle is None:
        raise UsageError(
            "the offline keys are needed",
            remedy="--offline-keys DIR names the folder that they are in; with --bundle BUNDLE "
            "they sign elsewhere.",
        )

    def sure(findings: Findings) -> bool:
        _show_findings(findings)
        if findings.unlogged and request.sure and not findings.resumed:
            raise UsageError(
                "nothing was changed: --yes answers no question about a copy that the log does not "
                "vouch for",
                remedy="Name an older copy. If you know that this one is yours, run it again "
                "without --yes, and answer yourself.",
            )
        return request.sure or place.keys.confirm("Go on?", "securepip repo recover DIR")

    with place.open("repo recover") as repository:
        online = place.keys.folder or keys.default_folder(
            repository.config.repository_id, keys.ONLINE
        )
        secret = cache(place.keys.new_passphrase)
        uris = request.new_key_uris
        folder = next(iter(place.offline_keys), Path())
        recovered = recover(
            repository,
            request.good,
            online=NewKeys(online, None if uris else secret(), uris),
            offline=OfflineKeys(
                NewKeys(folder, None if request.bundle else secret()),
                public_keys(request.new_keys),
                request.bundle,
            ),
            stolen=request.stolen,
            confirm=sure,
        )
    if recovered is None:
        console.say("Nothing was changed.")
        return 1
    if isinstance(recovered, Waiting):
        say_carry(recovered.bundle)
        console.say("Then run this command again.")
        return 0
    _show_report(recovered)
    if not uris:
        console.say(f"The new online key is in {online}")
    if request.bundle is None:
        console.say(f"The new offline keys are in {folder}: take them away again.")
    return 0


def _show_findings(findings: Findings) -> None:
    if findings.resumed:
        console.say("This goes on with a recovery that was interrupted.")
    console.say(f"The copy is of snapshot version {findings.copy_snapshot}, and validly signed.")
    if not findings.valid:
        console.say(f"The current state is not validly signed: {findings.problem}")
    for role, version in findings.lost:
        console.warn(
            f"Version {version} of {role} was current when an offline key was last used on this "
            "machine, and is neither here nor in the copy: what it changed is lost. A mirror or a "
            "client may still have it: put it among the copy's metadata."
        )
    if findings.unlogged:
        console.warn(
            f"The log of this repository does not vouch for the copy: {findings.unlogged}. Whoever "
            "has stolen the online key may have signed what was copied. Go on only if you know "
            "that it is from before, or that the log is what was damaged."
        )
    changes = findings.changes
    _show("not in the copy", (each.path for each in changes if each.before is None))
    _show("changed since", (each.path for each in changes if each.before and each.after))
    _show("gone since", (each.path for each in changes if each.after is None))
    console.say(
        "What the online key signed is restored from the copy. What the offline keys, or projects\n"
        "themselves, signed stays. The keys of timestamp, snapshot, targets,\n"
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
