"""Trust on first use: a repository of this machine's own over an index that does not sign.

``setup`` makes and believes one. While the resolver asks, ``signer`` reads the pages that it needs,
judges them by the rules of ``repo sync``, and signs them; then they are verified along the whole
chain like those of any other repository. ``witness`` asks other indexes, ``memory_file`` shares
what was seen with other machines, and ``accept`` takes back a refusal.

Rule: no byte reaches pip by another way. This room only signs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from packaging.utils import NormalizedName

    from securepip.first_use.signer import Signer
    from securepip.index import Store
    from securepip.transport import TransportOptions
    from securepip.trust import Trust, TrustStore


def _silent(line: str) -> None:
    """Say nothing."""


@contextmanager
def open_signers(
    options: TransportOptions,
    store: Store,
    say: Callable[[str], None] = _silent,
    refresh: Callable[[NormalizedName], bool] = lambda project: False,
) -> Iterator[Callable[[Trust], dict[str, Signer]]]:
    """Says who signs for the repositories of this machine's own, by name; nothing where none is.

    The signing side is imported for the first such repository, and not before.

    Args:
        options: How servers are reached.
        store: Where a file is kept that is read for its sha256.
        say: Called with a sentence that people should read.
        refresh: Which pages are asked for however lately they were asked for before.
    """
    with ExitStack() as stack:
        opened: list[Callable[[Trust], dict[str, Signer]]] = []

        def signers(trust: Trust) -> dict[str, Signer]:
            if all(repository.first_use is None for repository in trust.repositories):
                return {}
            if not opened:
                from securepip.first_use.signer import Signers

                opened.append(stack.enter_context(Signers(options, store, say, refresh)))
            return opened[0](trust)

        yield signers


def trust_named(
    index_urls: Sequence[str], store: TrustStore, trusted_hosts: Sequence[str]
) -> Trust:
    """Whom a tool believes that is configured for some indexes, or was told them.

    An index that nobody named before is believed at first sight, where the user wants that. One
    that speaks only where it is named may speak now, after all others.

    Raises:
        UsageError: One of them could be answered for by anybody on the way.
        RepositoryStateError: A repository cannot be made.
    """
    trust = store.read()
    if trust.any_index is not None:
        from securepip.first_use.setup import protect_named

        trust = protect_named(index_urls, store, trusted_hosts)
    known = (trust.for_index(url) for url in index_urls)
    return trust.including(each.name for each in known if each is not None)
