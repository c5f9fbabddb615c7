"""Maintainers of a project, with keys in memory, and the requests and transactions that they sign.

``alice = Maintainers.of(1)``, then ``claim(made, "app", alice)``, and
``accept(made.repository, alice.release(made, "app", make_wheel(…)))``.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

from packaging.utils import NormalizedName
from securesystemslib.signer import CryptoSigner

from securepip.formats.page import ProjectPage
from securepip.signing.claims.transactions import accept as accepting
from securepip.signing.claims.transactions.compose import Draft, draft, with_files
from securepip.signing.claims.transactions.state import state_in
from securepip.signing.keys.ring import KeyRing, no_passphrase
from securepip.signing.publish.add import read_distribution
from securepip.signing.repository.claim_tree import Keyholders
from tests.support.repositories import MadeRepository


@dataclass(frozen=True)
class Maintainers:
    """The maintainers of a project.

    Attributes:
        signers: Their keys.
        threshold: How many of them must sign.
    """

    signers: tuple[CryptoSigner, ...]
    threshold: int = 1

    @classmethod
    def of(cls, count: int, threshold: int = 1) -> Maintainers:
        """Make maintainers with new keys."""
        return cls(tuple(CryptoSigner.generate_ed25519() for _ in range(count)), threshold)

    @property
    def holders(self) -> Keyholders:
        """Their public keys."""
        keys = sorted((one.public_key for one in self.signers), key=lambda key: key.keyid)
        return Keyholders(tuple(keys), self.threshold)

    def ring(self, count: int | None = None) -> KeyRing:
        """The private keys of the first ones."""
        return KeyRing((), {}, no_passphrase, loaded=self.signers[:count])

    def request(
        self, made: MadeRepository, project: str, folder: Path, signatures: int | None = None
    ) -> Path:
        """Make a request that the project may sign for itself."""
        state = state_in(made.repository, NormalizedName(project))
        made_draft = draft(state, state.page, holders=self.holders)
        return self.write(made_draft, folder, signatures)

    def release(
        self,
        made: MadeRepository,
        project: str,
        folder: Path,
        *distributions: Path,
        signatures: int | None = None,
    ) -> Path:
        """Make a transaction that adds files."""
        moment = datetime.now(timezone.utc)
        read = [read_distribution(path, moment) for path in distributions]
        state = state_in(made.repository, NormalizedName(project))
        page = with_files(state.page, read)
        return self.write(draft(state, page, [each.new for each in read]), folder, signatures)

    def change(
        self,
        made: MadeRepository,
        project: str,
        folder: Path,
        edit: Callable[[ProjectPage], ProjectPage],
    ) -> Path:
        """Make a transaction that changes the page."""
        state = state_in(made.repository, NormalizedName(project))
        return self.write(draft(state, edit(state.page)), folder)

    def hand_over(
        self,
        made: MadeRepository,
        project: str,
        folder: Path,
        successors: Maintainers,
        *,
        agree: bool = True,
    ) -> Path:
        """Make a transaction that gives the project other keys.

        Enough of the new maintainers sign it and, with ``agree``, enough of these.
        """
        state = state_in(made.repository, NormalizedName(project))
        made_draft = draft(state, state.page, holders=successors.holders)
        if agree:
            made_draft.sign(self.ring())
        return successors.write(made_draft, folder)

    def write(self, made: Draft, folder: Path, signatures: int | None = None) -> Path:
        """Sign a draft, and write it to a file."""
        made.sign(self.ring(signatures))
        folder.mkdir(exist_ok=True, parents=True)
        path = folder / f"{made.project}-{secrets.token_hex(4)}.zip"
        made.write(path)
        return path


def claim(made: MadeRepository, project: str, maintainers: Maintainers) -> accepting.Accepted:
    """Make a claim of a project for its maintainers."""
    folder = made.folder.with_name(f"{made.folder.name}.requests")
    return accepting.claim(made.repository, maintainers.request(made, project, folder))
