"""Signs what the resolver is about to look up: pages of an index, and chosen files.

The stages are those of ``repo sync``. The differences: only the projects that are needed are read,
a file gets its target when it is chosen, and a refusal stops the command.

Rule: this module signs, and does not decide what may be installed. The caller reads everything back
and verifies it, from the timestamp on.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from dataclasses import replace

from packaging.utils import NormalizedName

from securepip.dirs import explained
from securepip.errors import SecurepipError
from securepip.first_use.files import sign_files
from securepip.first_use.memory import Memory
from securepip.first_use.pages import sign_pages
from securepip.first_use.site import nothing, open_site
from securepip.formats.layout import METADATA_DIR
from securepip.index.store import Store
from securepip.signing.publish.gc import sweep
from securepip.signing.publish.refresh import is_half_over, refresh
from securepip.signing.repository.roles import TIMESTAMP_NAME
from securepip.transport import PARALLEL, Transport, TransportOptions
from securepip.transport.pool import Pool
from securepip.trust import Trust, TrustedRepository

ANSWER_SECONDS = 120.0
"""How long a page of the index or of a witness may take."""


class Signer:
    """Signs one first-use repository. Implements ``securepip.index.OnDemand``.

    All methods may be called from several threads. The index is read without the repository's lock;
    the answers are judged and signed with it.

    Args:
        repository: The trusted repository; its ``first_use`` names the index.
        transport: Reads the index and the witnesses; it must not leave https.
        pool: The threads for that.
        store: Keeps the files that have to be read for their sha256.
        say: Called with each sentence that people should read.
        refresh: Tells whether a project's page is read again, even if it was read a moment ago.
        others: The first-use repositories over other indexes.
    """

    def __init__(
        self,
        repository: TrustedRepository,
        transport: Transport,
        pool: Pool,
        store: Store,
        say: Callable[[str], None] = lambda line: None,
        refresh: Callable[[NormalizedName], bool] = nothing,
        others: Sequence[TrustedRepository] = (),
    ) -> None:
        self._site = open_site(repository, transport, pool, store, say, refresh, others)
        self._lock = threading.Lock()
        self._asked: dict[NormalizedName, Future[None]] = {}
        self._is_renewed = False
        self._chosen: set[tuple[NormalizedName, str]] = set()

    def state(self) -> bytes:
        """As ``OnDemand.state``."""
        try:
            return (self._site.folder / METADATA_DIR / TIMESTAMP_NAME).read_bytes()
        except OSError:
            return b""

    def renew(self) -> None:
        """Renew signatures that expire, and delete old files, once a day.

        Raises:
            RepositoryStateError: What is on disk is not what was signed.
        """
        if self._is_renewed:
            return
        with self._site.open() as repository:
            memory = Memory(repository.ledger.connection, time.time())
            if memory.is_renewal_due():
                with repository.lock(finish=False):
                    # In a new repository nothing expires yet. The timestamp, which has the shortest
                    # life, shows whether it is new.
                    if not memory.is_new or is_half_over(repository):
                        refresh(repository)
                        sweep(repository)
                    memory.mark_renewed()
        self._is_renewed = True

    def prepare_pages(self, projects: Iterable[NormalizedName]) -> None:
        """As ``OnDemand.prepare_pages``."""
        mine: list[NormalizedName] = []
        others: list[Future[None]] = []
        with self._lock:
            for project in dict.fromkeys(projects):
                if project in self._asked:
                    others.append(self._asked[project])
                else:
                    self._asked[project] = Future()
                    mine.append(project)
        if mine:
            try:
                self.renew()
                sign_pages(self._site, mine)
            except SecurepipError as error:
                self._site.errors.update(dict.fromkeys(mine, error))
            except BaseException as error:
                # Later look-ups must fail too. They must not fall back to the page signed before,
                # or to another repository's project of that name.
                explanation = explained(error) if isinstance(error, Exception) else None
                defect = SecurepipError(f"{self._site.index} could not be read: {error!r:.200}")
                self._site.errors.update(dict.fromkeys(mine, explanation or defect))
                raise
            finally:
                for project in mine:
                    self._asked[project].set_result(None)
        for other in others:
            other.result()

    def check(self, project: NormalizedName) -> None:
        """As ``OnDemand.check``."""
        error = self._site.errors.get(project)
        if error is not None:
            raise error

    def check_file(self, project: NormalizedName, filename: str) -> None:
        """As ``OnDemand.check_file``."""
        error = self._site.refused.get((project, filename))
        if error is not None:
            raise error

    def prepare_files(
        self,
        wanted: Sequence[tuple[NormalizedName, str]],
        likely: Sequence[tuple[NormalizedName, str]] = (),
    ) -> None:
        """As ``OnDemand.prepare_files``."""
        for one in wanted:
            self.check_file(*one)
        new = [one for one in wanted if one not in self._chosen]
        guesses = [
            one for one in likely if one not in self._chosen and one not in self._site.refused
        ]
        if new or guesses:
            self._chosen.update(sign_files(self._site, new, guesses))


class Signers:
    """Makes the signers of all first-use repositories. It is a context manager.

    A signer reads each project once, so a process that runs for long makes new ones. All share
    their connections. These never leave https: what is believed at first use must not come from
    somebody on the way.

    Args:
        options: How servers are reached.
        store: Keeps the files that have to be read for their sha256.
        say: Called with each sentence that people should read.
        refresh: Tells whether a project's page is read again, even if it was read a moment ago.
    """

    def __init__(
        self,
        options: TransportOptions,
        store: Store,
        say: Callable[[str], None] = lambda line: None,
        refresh: Callable[[NormalizedName], bool] = nothing,
    ) -> None:
        options = replace(options, stay_encrypted=True, answer_seconds=ANSWER_SECONDS)
        self._transport = Transport(options)
        self._pool = Pool(PARALLEL)
        self._store = store
        self._say = say
        self._refresh = refresh

    def __call__(self, trust: Trust) -> dict[str, Signer]:
        """The signers, by the names of their trusted repositories."""
        own = [each for each in trust.repositories if each.first_use is not None]
        return {
            one.name: Signer(
                one,
                self._transport,
                self._pool,
                self._store,
                self._say,
                self._refresh,
                [other for other in own if other is not one],
            )
            for one in own
        }

    def __enter__(self) -> Signers:
        return self

    def __exit__(self, *_error: object) -> None:
        """Close the connections, without waiting for requests that are under way."""
        self._pool.close()
        self._transport.close()
