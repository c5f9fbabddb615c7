"""Trust on first use: this machine has its own repository over an index that does not sign.

``setup`` makes such a repository and trusts it. While the resolver runs, ``signer`` reads the pages
that it needs, judges them by the rules of ``repo sync``, and signs them. Then they are verified
along the whole chain, like those of any other repository. ``witness`` compares with other indexes,
``memory_file`` shares what was seen with other machines, and ``accept`` takes back a refusal.

Rule: this package only signs. pip gets files only after they were verified.
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
    """A function that returns the signers of the first-use repositories, by their names.

    The signing side is imported only if there is such a repository.

    Args:
        options: How servers are reached.
        store: Keeps the files that have to be read for their sha256.
        say: Called with each sentence that people should read.
        refresh: Tells whether a project's page is read again, even if it was read a moment ago.
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
    """The trusted repositories for a tool that uses these indexes.

    If the user wants first use for every index, a new index gets a repository now. A repository
    that only answers when its index is named is included too, after all others.

    Raises:
        UsageError: An index is plain http, so that anybody on the way could answer.
        RepositoryStateError: A repository cannot be made.
    """
    trust = store.read()
    if trust.any_index is not None:
        from securepip.first_use.setup import protect_named

        trust = protect_named(index_urls, store, trusted_hosts)
    known = (trust.for_index(url) for url in index_urls)
    return trust.including(each.name for each in known if each is not None)
