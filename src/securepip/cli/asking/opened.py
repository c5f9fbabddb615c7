"""Opens the verified index over all trusted repositories, for commands that change nothing."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from securepip.cli import console
from securepip.cli.options import READ_ONLY_STATE

if TYPE_CHECKING:
    from securepip.cli.options import Network
    from securepip.index import VerifiedIndex


def open_index(
    network: Network,
    cache: Path,
    stack: ExitStack,
    *,
    repository: str | None = None,
    read_only_state: bool = False,
) -> VerifiedIndex:
    """Open the index over all trusted repositories, also those that are only asked if named.

    Args:
        network: How servers are reached.
        cache: The cache folder.
        stack: Closes it.
        repository: Only this one of the trusted repositories.
        read_only_state: Work on a copy of what was seen of the repositories so far.

    Raises:
        UsageError: No trusted repository is called so.
    """
    from securepip.dirs import temporary_folder
    from securepip.first_use import open_signers
    from securepip.index import Store, VerifiedIndex
    from securepip.trust import TrustStore

    trust = TrustStore.of_user().read()
    if repository is None:
        trust = trust.including(each.name for each in trust.repositories)
    else:
        trust = trust.only(repository)
    if read_only_state:
        console.warn(READ_ONLY_STATE)
        trust = trust.with_state_copied_to(Path(stack.enter_context(temporary_folder())))
    transport = stack.enter_context(network.transport(trust.addresses))
    files = Store(cache / "store")
    signers = stack.enter_context(open_signers(transport.options, files, console.say))(trust)
    index = VerifiedIndex(trust, transport, files, signers)
    stack.callback(index.close)
    return index
