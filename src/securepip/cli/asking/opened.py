"""The verified index over all whom this machine believes, for commands that only ask."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from securepip.cli import console

if TYPE_CHECKING:
    from securepip.cli.options import Network
    from securepip.index import VerifiedIndex


def open_index(network: Network, cache: Path, stack: ExitStack) -> VerifiedIndex:
    """The index over whom this machine believes, also those asked only where they are named.

    Args:
        network: How servers are reached.
        cache: The folder of what can be fetched again.
        stack: Closes it.
    """
    from securepip.first_use import open_signers
    from securepip.index import Store, VerifiedIndex
    from securepip.trust import TrustStore

    trust = TrustStore.of_user().read()
    trust = trust.including(repository.name for repository in trust.repositories)
    transport = stack.enter_context(network.transport(trust.addresses))
    files = Store(cache / "store")
    signers = stack.enter_context(open_signers(transport.options, files, console.say))(trust)
    index = VerifiedIndex(trust, transport, files, signers)
    stack.callback(index.close)
    return index
