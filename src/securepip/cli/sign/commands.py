"""``securepip sign``: for maintainers whose project signs for itself (PEP 480)."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime, timezone
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, cast

from securepip.cli import console
from securepip.cli.options import add_network_options, apply_configuration, network_of, new_command
from securepip.cli.repo.keys import add_key_options, new_passphrase, passphrase, pin
from securepip.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from packaging.utils import NormalizedName
    from securesystemslib.signer import Key

    from securepip.signing.claims.transactions.check import Checked
    from securepip.signing.claims.transactions.compose import Draft
    from securepip.signing.claims.transactions.state import ProjectState
    from securepip.signing.keys.ring import KeyRing
    from securepip.signing.repository.claim_tree import Keyholders
    from securepip.trust import Trust, TrustedRepository

    Commands = argparse._SubParsersAction[argparse.ArgumentParser]

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


def _add_repository_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--repository", metavar="NAME|URL",
        help="the repository, which this machine has to trust (default: who speaks for PROJECT)",
    )  # fmt: skip
    parser.add_argument(
        "-o", "--output", type=Path, metavar="FILE", help="where the transaction is written"
    )
    add_network_options(parser)


def _add_project_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--days", type=_days, default=_DEFAULT_DAYS, metavar="N",
        help=f"how long the signatures are valid (default: {_DEFAULT_DAYS}, a year)",
    )  # fmt: skip
    _add_repository_options(parser)


def _days(text: str) -> int:
    """For argparse: what is signed for less has expired, and dates end."""
    if not text.isdecimal() or not 1 <= int(text) <= _MAX_DAYS:
        raise argparse.ArgumentTypeError(f"not a number from 1 to {_MAX_DAYS}: {text!r:.80}")
    return int(text)


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
    from securepip.signing.keys import maintainer

    if arguments.uri is not None:
        key = maintainer.register(_ring(arguments), arguments.uri)
    else:
        key = maintainer.generate(arguments.keys, new_passphrase(arguments))
    public: Path = arguments.public or Path(f"{key.keyid[:12]}.public.json")
    maintainer.write_public(key, public)
    console.say(f"Your key:    {key.keyid}")
    if arguments.uri is None:
        console.say(f"private:     in {arguments.keys or maintainer.default_folder()}")
    console.say(f"public half: {public}, for the other maintainers of your project")
    return 0


def _add_claim(inner: Commands) -> None:
    parser = _new(inner, "claim", "ask the repository's operator to let a project sign for itself")
    parser.add_argument("project", metavar="PROJECT")
    parser.add_argument(
        "--key", action="append", type=Path, default=[], metavar="FILE",
        help="the public key of a maintainer; may be repeated (default: your own)",
    )  # fmt: skip
    parser.add_argument(
        "--threshold", type=int, default=1, metavar="N",
        help="how many maintainers have to sign each release (default: 1)",
    )  # fmt: skip
    parser.add_argument(
        "--lost-keys", action="store_true", help="claim it anew, because its keys are lost"
    )
    _add_project_options(parser)
    parser.set_defaults(run=_claim)


def _claim(arguments: argparse.Namespace) -> int:
    from securepip.signing.claims.transactions.compose import draft, not_claimed
    from securepip.signing.claims.transactions.statement import check_holders

    holders = check_holders(tuple(_claim_keys(arguments)), arguments.threshold)
    with _project(arguments) as state:
        if state.claim is not None and not arguments.lost_keys:
            raise UsageError(
                f"{state.project} signs for itself already",
                remedy="`securepip sign keys` asks for other keys. If too many of them are lost, "
                "add --lost-keys, and prove to the operator who you are.",
            )
        lost: bool = arguments.lost_keys
        if lost and state.claim is None:
            raise not_claimed(state.project)
        made = draft(state, state.page, holders=holders, lost=lost, days=arguments.days)
        command = "securepip repo claim" + " --replace-keys" * lost
        _finish(arguments, made, f"{state.project}-claim.zip", command)
    if state.page.files:
        console.say("It covers what is published now. Compare it with what you released:")
    for file in state.page.files:
        console.say(f"  {file.filename} sha256={file.sha256}")
    console.say("Tell the operator the ids of the keys by another way than the request:")
    _show_holders(holders)
    return 0


def _claim_keys(arguments: argparse.Namespace) -> list[Key]:
    from securepip.signing.keys import maintainer

    if arguments.key:
        return [maintainer.read_public(path) for path in arguments.key]
    own = maintainer.own_keys([arguments.keys] if arguments.keys else [])
    if len(own) != 1:
        raise UsageError(
            f"you have {len(own)} keys on this machine: say which are to sign, with --key FILE",
            remedy="`securepip sign keygen` makes a key." if not own else "",
        )
    ring = _ring(arguments)
    return [ring.public_key(ring.uri(own[0]) or "")[1]]


def _add_release(inner: Commands) -> None:
    parser = _new(inner, "release", "sign new files of a project; with none, renew its signatures")
    parser.add_argument("project", metavar="PROJECT")
    parser.add_argument("files", type=Path, nargs="*", metavar="FILE")
    _add_project_options(parser)
    parser.set_defaults(run=_release)


def _release(arguments: argparse.Namespace) -> int:
    from securepip.signing.claims.transactions.compose import draft, with_files
    from securepip.signing.publish.add import read_distribution

    moment = datetime.now(timezone.utc)
    read = [read_distribution(path, moment) for path in arguments.files]
    with _project(arguments) as state:
        page = with_files(state.page, read)
        new = [each.new for each in read if state.page.file(each.new.filename) is None]
        if read and not new:
            console.say("Nothing to do: all of it is published already.")
            return 0
        _finish(arguments, draft(state, page, new, days=arguments.days))
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
    from securepip.signing.claims.transactions.compose import draft, yanked

    with _project(arguments) as state:
        page = yanked(state.page, arguments.what, None if arguments.undo else arguments.reason)
        _finish(arguments, draft(state, page, days=arguments.days))
    return 0


def _add_withdraw(inner: Commands) -> None:
    parser = _new(inner, "withdraw", "take a release or file back: nobody can install it any more")
    parser.add_argument("project", metavar="PROJECT")
    parser.add_argument("what", metavar="VERSION|FILENAME")
    _add_project_options(parser)
    parser.set_defaults(run=_withdraw)


def _withdraw(arguments: argparse.Namespace) -> int:
    from securepip.signing.claims.transactions.compose import draft, withdrawn

    with _project(arguments) as state:
        page = withdrawn(state.page, arguments.what)
        _finish(arguments, draft(state, page, days=arguments.days))
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
        help="a key that is to sign no more, by the beginning of its id; may be repeated",
    )  # fmt: skip
    parser.add_argument("--threshold", type=int, metavar="N", help="how many have to sign")
    _add_project_options(parser)
    parser.set_defaults(run=_keys)


def _keys(arguments: argparse.Namespace) -> int:
    from securepip.signing.claims.transactions.compose import changed_holders, draft, not_claimed
    from securepip.signing.keys import maintainer

    with _project(arguments) as state:
        if state.claim is None:
            raise not_claimed(state.project)
        if not arguments.add and not arguments.remove and arguments.threshold is None:
            console.say(f"{state.project} is in {state.claim.top}, and is signed with")
            _show_holders(state.claim.holders)
            return 0
        added = [maintainer.read_public(path) for path in arguments.add]
        holders = changed_holders(state.claim, added, arguments.remove, arguments.threshold)
        made = draft(state, state.page, holders=holders, days=arguments.days)
        _finish(arguments, made, f"{state.project}-keys.zip")
    return 0


def _add_signature(inner: Commands) -> None:
    parser = _new(inner, "add-signature", "check what another maintainer has signed, and sign it")
    parser.add_argument("transaction", type=Path, metavar="TRANSACTION")
    _add_repository_options(parser)
    parser.set_defaults(run=_sign)


def _sign(arguments: argparse.Namespace) -> int:
    from securepip.signing.claims.transactions.archive import open_archive
    from securepip.signing.claims.transactions.check import check, read_statement
    from securepip.signing.claims.transactions.compose import again, not_claimed

    with open_archive(arguments.transaction) as archive:
        arguments.project = archive.project
        with _project(arguments) as state, TemporaryDirectory() as folder:
            statement = read_statement(archive)
            present = state.claim.holders if state.claim else None
            holders = statement.statement.holders if statement else present
            if holders is None:
                raise not_claimed(state.project)
            checked = check(archive, state, holders, Path(folder), complete=False)
            _show(checked)
            arguments.output = arguments.output or arguments.transaction
            verb = "accept" if state.claim else "claim"
            if statement and statement.statement.lost:
                verb = "claim --replace-keys"
            _finish(arguments, again(checked, holders), command=f"securepip repo {verb}")
    return 0


def _show(checked: Checked) -> None:
    """Say what a transaction changes, before it is signed."""
    console.say(f"{checked.page.project}, version {checked.role.signed.version} of its role:")
    for verb, names in (
        ("adds", checked.added),
        ("takes back", checked.withdrawn),
        ("changes", checked.yanked),
    ):
        for name in names:
            console.say(f"  {verb} {name}")
    if checked.statement is not None:
        console.say("  is signed from then on with")
        _show_holders(checked.statement.statement.holders)
    statement = checked.statement
    signed_by = dict.fromkeys(
        [*checked.signed_by, *(statement.envelope.signatures if statement else ())]
    )
    console.say(f"signed so far by: {', '.join(signed_by)}")


def _show_holders(holders: Keyholders) -> None:
    console.say(f"  {holders.threshold} of {len(holders.keys)} keys:")
    for keyid in holders.keyids:
        console.say(f"  {keyid}")


def _finish(
    arguments: argparse.Namespace,
    made: Draft,
    default: str | None = None,
    command: str = "securepip repo accept",
) -> None:
    """Sign, write the transaction, and say what is to be done with it."""
    signed = made.sign(_ring(arguments))
    name = default or f"{made.project}-{made.role.signed.version}.zip"
    path: Path = arguments.output or Path(name)
    made.write(path)
    console.say(f"Signed with {', '.join(keyid[:12] for keyid in signed)}: {path}")
    missing = made.missing()
    if missing:
        console.say(
            f"{missing} more signature{'s' if missing > 1 else ''} needed: "
            f"securepip sign add-signature {shlex.quote(str(path))}"
        )
    else:
        console.say(f"Hand it to the operator: {command} DIR {shlex.quote(path.name)}")


@contextmanager
def _project(arguments: argparse.Namespace) -> Iterator[ProjectState]:
    """The project as the repository has published it, verified along its signatures."""
    from securepip.dirs import data_dir, usable_cache
    from securepip.formats.layout import parse_project
    from securepip.index import Store, VerifiedIndex
    from securepip.signing.claims.transactions.state import state_at
    from securepip.trust import TrustStore

    project = parse_project(arguments.project)
    trust = TrustStore(data_dir() / "trust").read()
    repository = _repository(trust, arguments.repository, project)
    with ExitStack() as stack, network_of(arguments).transport() as transport:
        store = Store(usable_cache(stack) / "store")
        index = VerifiedIndex(trust.only(repository.name), transport, store)
        yield state_at(index, repository.name, project)


def _repository(trust: Trust, named: str | None, project: NormalizedName) -> TrustedRepository:
    """The trusted repository that is meant, by its name or its URL."""
    from securepip.index.verified import untrusted
    from securepip.trust.location import index_address

    if not trust.repositories:
        raise untrusted()
    if named is None:
        assigned: Sequence[str] = next((each.repositories for each in trust.assigned(project)), ())
        if not assigned:
            raise UsageError(f"no trusted repository speaks for {project}: name one, --repository")
        return trust.named(assigned[0])
    for repository in trust.repositories:
        if index_address(repository.location) == index_address(named):
            return repository
    return trust.for_index(named) or trust.named(named)


def _ring(arguments: argparse.Namespace) -> KeyRing:
    """The maintainer's keys: opened once, so that a passphrase is asked for once."""
    from securepip.signing.keys import maintainer

    if hasattr(arguments, "ring"):
        return cast("KeyRing", arguments.ring)
    folders = [arguments.keys] if arguments.keys else []
    if folders and not arguments.keys.is_dir():
        raise UsageError(f"{arguments.keys} is not a folder of keys")
    arguments.ring = maintainer.open_keys(
        folders, lambda: passphrase(arguments), lambda: pin(arguments)
    )
    return cast("KeyRing", arguments.ring)
