"""What the commands of ``sign`` share: a maintainer's keys, the repository, and the output."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from securepip.cli import console
from securepip.cli.keys import KeyOptions, short
from securepip.cli.options import Network
from securepip.formats.roles import give_reason, reason_of
from securepip.formats.words import counted

if TYPE_CHECKING:
    from securepip.signing.claims.transactions.check import Checked
    from securepip.signing.claims.transactions.compose import Draft
    from securepip.signing.claims.transactions.state import ProjectState
    from securepip.signing.keys.ring import KeyRing
    from securepip.signing.repository.claim_tree import Keyholders
    from securepip.trust import TrustedRepository


@dataclass(frozen=True)
class Maintainer:
    """A maintainer, who signs for a project.

    Attributes:
        keys: Where the maintainer's keys are, and how they are unlocked.
        repository: The name or URL of the repository; None for the one that speaks for the project.
        output: The path of the transaction; None for a name in the current folder.
        network: How servers are reached.
        words: The reason that the maintainer gives; it is signed too.
    """

    keys: KeyOptions = field(default_factory=KeyOptions)
    repository: str | None = None
    output: Path | None = None
    network: Network = field(default_factory=Network)
    words: str = ""

    @cached_property
    def ring(self) -> KeyRing:
        """The maintainer's keys, opened once, so that a passphrase is asked for once."""
        from securepip.signing.keys import maintainer

        return maintainer.open_keys(self.keys.folders(), self.keys.passphrase, self.keys.pin)

    def writing_to(self, path: Path) -> Maintainer:
        """A copy that writes the transaction to ``path``, unless an output is named already."""
        return self if self.output is not None else replace(self, output=path)

    @contextmanager
    def project(self, name: str, signed_for: object = None) -> Iterator[ProjectState]:
        """Open the verified state of a project in the repository.

        Args:
            name: The project.
            signed_for: The sha256 of the first root of the repository that a transaction names, if
                there is one. It only chooses among trusted repositories: ``check`` compares it with
                what the chosen one has signed.
        """
        from securepip.dirs import usable_cache
        from securepip.formats.digests import sha256_of
        from securepip.formats.layout import parse_project
        from securepip.index import Store, VerifiedIndex, untrusted
        from securepip.signing.claims.transactions.state import state_at
        from securepip.trust import TrustStore

        project = parse_project(name)
        trust = TrustStore.of_user().read()
        if not trust.repositories:
            raise untrusted()
        with ExitStack() as stack, self.network.transport() as transport:
            store = Store(usable_cache(stack) / "store")

            def index_of(one: TrustedRepository) -> VerifiedIndex:
                return VerifiedIndex(trust.only(one.name), transport, store)

            def is_meant(one: TrustedRepository) -> bool:
                # A root that was pinned later has another sha256 than the first one.
                return (
                    sha256_of(one.root) == signed_for
                    or index_of(one).session(one.name).naming.repository == signed_for
                )

            repository = trust.for_maintainer(self.repository, project)
            if self.repository is None and signed_for is not None:
                others = list(trust.run_by_others(project))
                if len(others) > 1:
                    repository = next(filter(is_meant, others), repository)
            if self.repository is None and len(trust.repositories) > 1:
                console.say(
                    f"The repository is {repository.shown}; --repository NAME means another."
                )
            yield state_at(index_of(repository), repository.name, project)

    def finish(
        self, made: Draft, default: str | None = None, command: str = "securepip repo accept"
    ) -> None:
        """Sign and write a transaction, and print what to do with it.

        Args:
            made: The transaction to sign.
            default: Its file name where no output is named; None for the project and version.
            command: The operator's command, up to the repository's folder.
        """
        if self.words:
            give_reason(made.role.signed, self.words)
        signed = made.sign(self.ring)
        name = default or f"{made.project}-{made.role.signed.version}.zip"
        path = self.output or Path(name)
        made.write(path)
        console.say(f"Signed with {short(signed)}: {path}")
        missing = made.missing()
        if missing:
            console.say(
                f"{counted(missing, 'more signature')} needed: "
                f"securepip sign add-signature {shlex.quote(str(path))}"
            )
        else:
            console.say(f"Hand it to the operator: {command} DIR {shlex.quote(path.name)}")


def say_holders(holders: Keyholders) -> None:
    """Print which keys sign for a project, and how many of them have to."""
    console.say(f"  {holders.threshold} of {counted(len(holders.keys), 'key')}:")
    for keyid in holders.keyids:
        console.say(f"  {keyid}")


def say_changes(checked: Checked) -> None:
    """Print what a transaction changes, before it is signed."""
    console.say(f"{checked.page.project}, version {checked.role.signed.version} of its role:")
    for verb, names in (
        ("adds", checked.added),
        ("takes back", checked.withdrawn),
        ("changes", checked.yanked),
    ):
        for name in names:
            console.say(f"  {verb} {name}")
    reason = reason_of(checked.role.signed)
    if reason:
        console.say(f"  because: {reason}")
    if checked.statement is not None:
        console.say("  is signed from then on with")
        say_holders(checked.statement.statement.holders)
    statement = checked.statement
    signed_by = dict.fromkeys(
        [*checked.signed_by, *(statement.envelope.signatures if statement else ())]
    )
    console.say(f"signed so far by: {', '.join(signed_by)}")
