"""``securepip sign``: for maintainers whose project signs for itself (PEP 480)."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from securepip.cli import console
from securepip.cli.keys import KeyOptions, add_key_options, keys_of
from securepip.cli.options import (
    Commands,
    add_network_options,
    add_why,
    apply_configuration,
    network_of,
    new_command,
)
from securepip.cli.parser import whole
from securepip.cli.sign.maintainer import Maintainer, say_changes, say_holders
from securepip.errors import UsageError
from securepip.formats.words import counted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from securesystemslib.signer import Key

_DEFAULT_DAYS = 365
_MAX_DAYS = 3650


def complete(parser: argparse.ArgumentParser) -> None:
    """Add the commands of ``sign``."""
    inner = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    _add_keygen(inner)
    _add_claim(inner)
    _add_release(inner)
    _add_yank(inner)
    _add_withdraw(inner)
    _add_keys(inner)
    _add_signature(inner)
    apply_configuration(parser, "sign")


def _new(inner: Commands, name: str, summary: str) -> argparse.ArgumentParser:
    parser = new_command(inner, name, summary)
    group = parser.add_argument_group("options for keys")
    add_key_options(group, "your keys (default: as at keygen)")
    return parser


def _add_repository_options(
    parser: argparse.ArgumentParser,
    default: str = "the first that speaks for PROJECT, and that others run",
) -> None:
    parser.add_argument(
        "--repository", metavar="NAME|URL",
        help=f"the repository, which this machine has to trust (default: {default})",
    )  # fmt: skip
    parser.add_argument(
        "-o", "--output", type=Path, metavar="FILE", help="where the transaction is written"
    )
    add_network_options(parser)


def _add_project_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--days", type=whole(1, _MAX_DAYS), default=_DEFAULT_DAYS, metavar="N",
        help=f"how long the signatures are valid (default: {_DEFAULT_DAYS}, a year)",
    )  # fmt: skip
    add_why(parser)
    _add_repository_options(parser)


def _maintainer(arguments: argparse.Namespace) -> Maintainer:
    return Maintainer(
        keys_of(arguments),
        arguments.repository,
        arguments.output,
        network_of(arguments),
        arguments.why,
    )


def _add_keygen(inner: Commands) -> None:
    parser = _new(inner, "keygen", "make a key, or use one of a device or a key service")
    parser.add_argument(
        "--uri", metavar="URI", help="a key that is there already: hsm:…, awskms:…, gcpkms:…, …"
    )
    parser.add_argument(
        "--public", type=Path, metavar="FILE", help="where the public half is written"
    )
    parser.set_defaults(run=_keygen)


def _keygen(arguments: argparse.Namespace) -> int:
    return keygen(keys_of(arguments), uri=arguments.uri, public=arguments.public)


def keygen(keys: KeyOptions, *, uri: str | None = None, public: Path | None = None) -> int:
    """Make a key, or use the one at ``uri``, and write its public half to ``public``.

    Args:
        keys: Where the key is stored, and its passphrase.
        uri: An existing key, on a device or in a key service.
        public: The path of the public half; None for a name in the current folder.
    """
    from securepip.signing.keys import maintainer

    if uri is not None:
        key = maintainer.register(Maintainer(keys).ring, uri)
    else:
        key = maintainer.generate(keys.folder, keys.new_passphrase())
    place = public or Path(f"{key.keyid[:12]}.public.json")
    maintainer.write_public(key, place)
    console.say(f"Your key:    {key.keyid}")
    if uri is None:
        console.say(f"private:     in {keys.folder or maintainer.default_folder()}")
    console.say(f"public half: {place}, which is no secret")
    return 0


def _add_claim(inner: Commands) -> None:
    parser = _new(inner, "claim", "ask the repository's operator to let a project sign for itself")
    parser.add_argument("project", metavar="PROJECT")
    parser.add_argument(
        "--key", action="append", type=Path, default=[], metavar="FILE",
        help="the public key of a maintainer; may be repeated (default: your own)",
    )  # fmt: skip
    parser.add_argument(
        "--threshold", type=whole(1, 1000), default=1, metavar="N",
        help="how many maintainers have to sign each release (default: 1)",
    )  # fmt: skip
    parser.add_argument(
        "--lost-keys", action="store_true", help="claim it anew, because its keys are lost"
    )
    _add_project_options(parser)
    parser.set_defaults(run=_claim)


@dataclass(frozen=True)
class ClaimRequest:
    """``securepip sign claim``.

    Attributes:
        maintainer: The maintainer who makes the request.
        project: The project that will sign for itself.
        keys: Files with the public keys of its maintainers; if empty, the maintainer's own key.
        threshold: How many of them have to sign each release.
        lost_keys: Claim the project again, because its keys are lost.
        days: How long the signatures are valid.
    """

    maintainer: Maintainer
    project: str
    keys: tuple[Path, ...] = ()
    threshold: int = 1
    lost_keys: bool = False
    days: int = _DEFAULT_DAYS


def _claim(arguments: argparse.Namespace) -> int:
    return claim(
        ClaimRequest(
            _maintainer(arguments),
            arguments.project,
            keys=tuple(arguments.key),
            threshold=arguments.threshold,
            lost_keys=arguments.lost_keys,
            days=arguments.days,
        )
    )


def claim(request: ClaimRequest) -> int:
    """Write a request to the repository's operator to let a project sign for itself.

    Raises:
        UsageError: The project signs for itself already, or which key is meant is not clear.
    """
    from securepip.signing.claims.transactions.compose import draft, not_claimed
    from securepip.signing.claims.transactions.statement import check_holders

    holders = check_holders(tuple(_claim_keys(request)), request.threshold)
    lost = request.lost_keys
    with request.maintainer.project(request.project) as state:
        if state.claim is not None and not lost:
            raise UsageError(
                f"{state.project} signs for itself already",
                remedy="`securepip sign keys` asks for other keys. If too many of them are lost, "
                "add --lost-keys, and prove to the operator who you are.",
            )
        if lost and state.claim is None:
            raise not_claimed(state.project)
        made = draft(state, state.page, holders=holders, lost=lost, days=request.days)
        command = "securepip repo claim" + " --replace-keys" * lost
        request.maintainer.finish(made, f"{state.project}-claim.zip", command)
    if state.page.files:
        console.say("It covers what is published now. Compare it with what you released:")
    for file in state.page.files:
        console.say(f"  {file.filename} sha256={file.sha256}")
    console.say("Tell the operator the ids of the keys by another way than the request:")
    say_holders(holders)
    return 0


def _claim_keys(request: ClaimRequest) -> list[Key]:
    from securepip.signing.keys import maintainer

    if request.keys:
        return [maintainer.read_public(path) for path in request.keys]
    folder = request.maintainer.keys.folder
    own = maintainer.own_keys([folder] if folder else [])
    if len(own) != 1:
        raise UsageError(
            f"you have {counted(len(own), 'key')} on this machine: say which are to sign, with "
            "--key FILE",
            remedy="`securepip sign keygen` makes a key." if not own else "",
        )
    ring = request.maintainer.ring
    return [ring.public_key(ring.uri(own[0]) or "")[1]]


def _add_release(inner: Commands) -> None:
    parser = _new(inner, "release", "sign new files of a project; with none, renew its signatures")
    parser.add_argument("project", metavar="PROJECT")
    parser.add_argument("files", type=Path, nargs="*", default=[], metavar="FILE")
    _add_project_options(parser)
    parser.set_defaults(run=_release)


def _release(arguments: argparse.Namespace) -> int:
    maintainer = _maintainer(arguments)
    return release(maintainer, arguments.project, arguments.files, days=arguments.days)


def release(
    maintainer: Maintainer, project: str, files: Sequence[Path] = (), *, days: int = _DEFAULT_DAYS
) -> int:
    """Sign new files of a project; with none, renew its signatures."""
    from securepip.signing.claims.transactions.compose import draft, with_files
    from securepip.signing.publish.add import read_distribution

    moment = datetime.now(timezone.utc)
    read = [read_distribution(path, moment) for path in files]
    with maintainer.project(project) as state:
        page = with_files(state.page, read)
        new = [each.new for each in read if state.page.file(each.new.filename) is None]
        if read and not new:
            console.say("Nothing to do: all of it is published already.")
            return 0
        maintainer.finish(draft(state, page, new, days=days))
    return 0


def _add_yank(inner: Commands) -> None:
    parser = _new(inner, "yank", "discourage a release or file (PEP 592)")
    parser.add_argument("project", metavar="PROJECT")
    parser.add_argument("what", metavar="VERSION|FILENAME")
    parser.add_argument("--reason", default="", metavar="TEXT", help="why, for those who install")
    parser.add_argument("--undo", action="store_true", help="do not discourage it any more")
    _add_project_options(parser)
    parser.set_defaults(run=_yank)


def _yank(arguments: argparse.Namespace) -> int:
    reason = None if arguments.undo else arguments.reason
    maintainer = _maintainer(arguments)
    return yank(maintainer, arguments.project, arguments.what, reason, days=arguments.days)


def yank(
    maintainer: Maintainer,
    project: str,
    what: str,
    reason: str | None = "",
    *,
    days: int = _DEFAULT_DAYS,
) -> int:
    """Yank a release or file (PEP 592); None as the ``reason`` undoes it."""
    from securepip.signing.claims.transactions.compose import draft, yanked

    with maintainer.project(project) as state:
        maintainer.finish(draft(state, yanked(state.page, what, reason), days=days))
    return 0


def _add_withdraw(inner: Commands) -> None:
    parser = _new(inner, "withdraw", "take a release or file back: nobody can install it any more")
    parser.add_argument("project", metavar="PROJECT")
    parser.add_argument("what", metavar="VERSION|FILENAME")
    _add_project_options(parser)
    parser.set_defaults(run=_withdraw)


def _withdraw(arguments: argparse.Namespace) -> int:
    maintainer = _maintainer(arguments)
    return withdraw(maintainer, arguments.project, arguments.what, days=arguments.days)


def withdraw(maintainer: Maintainer, project: str, what: str, *, days: int = _DEFAULT_DAYS) -> int:
    """Withdraw a release or file: nobody can install it any more."""
    from securepip.signing.claims.transactions.compose import draft, withdrawn

    with maintainer.project(project) as state:
        maintainer.finish(draft(state, withdrawn(state.page, what), days=days))
    return 0


def _add_keys(inner: Commands) -> None:
    parser = _new(inner, "keys", "show a project's keys, or ask for others")
    parser.add_argument("project", metavar="PROJECT")
    parser.add_argument(
        "--add", action="append", type=Path, default=[], metavar="FILE",
        help="the public key of one more maintainer; may be repeated",
    )  # fmt: skip
    parser.add_argument(
        "--remove", action="append", default=[], metavar="KEYID",
        help="a key that no longer signs, by the beginning of its id; may be repeated",
    )  # fmt: skip
    parser.add_argument(
        "--threshold", type=whole(1, 1000), metavar="N", help="how many have to sign"
    )
    _add_project_options(parser)
    parser.set_defaults(run=_keys)


@dataclass(frozen=True)
class KeysRequest:
    """``securepip sign keys``; where nothing is to be changed, the keys are printed.

    Attributes:
        maintainer: The maintainer who makes the request.
        project: The project whose keys are meant.
        add: Files with the public keys of further maintainers.
        remove: The beginnings of the ids of keys that will no longer sign.
        threshold: How many maintainers will have to sign; None leaves it as it is.
        days: How many days the signatures are valid.
    """

    maintainer: Maintainer
    project: str
    add: tuple[Path, ...] = ()
    remove: tuple[str, ...] = ()
    threshold: int | None = None
    days: int = _DEFAULT_DAYS


def _keys(arguments: argparse.Namespace) -> int:
    return keys(
        KeysRequest(
            _maintainer(arguments),
            arguments.project,
            add=tuple(arguments.add),
            remove=tuple(arguments.remove),
            threshold=arguments.threshold,
            days=arguments.days,
        )
    )


def keys(request: KeysRequest) -> int:
    """Print a project's keys, or write a request for others."""
    from securepip.signing.claims.transactions.compose import changed_holders, draft, not_claimed
    from securepip.signing.keys.maintainer import read_public

    with request.maintainer.project(request.project) as state:
        if state.claim is None:
            raise not_claimed(state.project)
        if not request.add and not request.remove and request.threshold is None:
            console.say(f"{state.project} is in {state.claim.top}, and is signed with")
            say_holders(state.claim.holders)
            return 0
        added = [read_public(path) for path in request.add]
        holders = changed_holders(state.claim, added, request.remove, request.threshold)
        made = draft(state, state.page, holders=holders, days=request.days)
        request.maintainer.finish(made, f"{state.project}-keys.zip")
    return 0


def _add_signature(inner: Commands) -> None:
    parser = _new(inner, "add-signature", "check what another maintainer has signed, and sign it")
    parser.add_argument("transaction", type=Path, metavar="TRANSACTION")
    _add_repository_options(parser, "the one that TRANSACTION names")
    parser.set_defaults(run=_sign, why="")  # the reason is in the transaction, signed already


def _sign(arguments: argparse.Namespace) -> int:
    return add_signature(_maintainer(arguments), arguments.transaction)


def add_signature(maintainer: Maintainer, transaction: Path) -> int:
    """Check what another maintainer has signed, show it, and sign it too."""
    from securepip.signing.claims.transactions.archive import open_archive
    from securepip.signing.claims.transactions.check import check, named_repository, read_statement
    from securepip.signing.claims.transactions.compose import again, not_claimed

    with (
        open_archive(transaction) as archive,
        maintainer.project(archive.project, named_repository(archive)) as state,
        TemporaryDirectory() as folder,
    ):
        statement = read_statement(archive)
        present = state.claim.holders if state.claim else None
        holders = statement.statement.holders if statement else present
        if holders is None:
            raise not_claimed(state.project)
        checked = check(archive, state, holders, Path(folder), complete=False)
        say_changes(checked)
        verb = "accept" if state.claim else "claim"
        if statement and statement.statement.lost:
            verb = "claim --replace-keys"
        made = again(checked, holders)
        maintainer.writing_to(transaction).finish(made, command=f"securepip repo {verb}")
    return 0
