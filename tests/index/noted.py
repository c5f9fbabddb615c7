"""A signer and downloads that record their calls, and an index that uses them."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from packaging.utils import NormalizedName, canonicalize_name

from securepip.errors import (
    VerificationError,
)
from securepip.formats.digests import NOT_KNOWN_YET
from securepip.formats.page import PageFile
from securepip.index import Store, VerifiedIndex
from securepip.index.on_demand import Signers
from securepip.index.received import SILENT, Downloads
from securepip.transport import Transport
from securepip.trust import Trust, TrustStore
from tests.support.repositories import MadeRepository

ALPHA, DELTA, GAMMA, UNKNOWN = (
    canonicalize_name(name) for name in ("alpha", "delta", "gamma", "unknown")
)
ALPHA_1, ALPHA_2, ALPHA_3 = (f"alpha-{number}.0-py3-none-any.whl" for number in (1, 2, 3))
DELTA_1 = "delta-1.0-py3-none-any.whl"


@dataclass(eq=False)
class Signer:
    """A first-use signer that records its calls."""

    current: bytes = b"1"
    asked: list[tuple[object, ...]] = field(default_factory=list)
    refuses: NormalizedName | None = None
    when_files: Callable[[], None] = lambda: None

    def state(self) -> bytes:
        return self.current

    def prepare_pages(self, projects: Iterable[NormalizedName]) -> None:
        self.asked.append(("pages", *projects))

    def check(self, project: NormalizedName) -> None:
        self.asked.append(("check", project))
        if project == self.refuses:
            raise VerificationError("the index shows what must not be")

    def check_file(self, project: NormalizedName, filename: str) -> None:
        self.asked.append(("check file", project, filename))

    def prepare_files(
        self,
        wanted: Sequence[tuple[NormalizedName, str]],
        likely: Sequence[tuple[NormalizedName, str]] = (),
    ) -> None:
        self.asked.append(("files", list(wanted), list(likely)))
        self.when_files()

    def take(self, kind: str) -> list[tuple[object, ...]]:
        """The calls of a kind; the record is emptied."""
        found = [one[1:] for one in self.asked if one[0] == kind]
        self.asked.clear()
        return found


@dataclass
class Told(Downloads):
    """Records the reports about downloads."""

    sizes: list[list[int]] = field(default_factory=list)
    kept: list[tuple[str, int]] = field(default_factory=list)
    begun: list[tuple[str, int]] = field(default_factory=list)
    received: list[int] = field(default_factory=list)

    def expect(self, sizes: list[int]) -> None:
        self.sizes.append(sizes)

    def cached(self, filename: str, size: int) -> None:
        self.kept.append((filename, size))

    @contextmanager
    def download(self, filename: str, size: int) -> Iterator[Callable[[int], None]]:
        self.begun.append((filename, size))
        yield self.received.append


@dataclass
class Asked:
    """The ends of the URLs that are prefetched or fetched, and the roles that sessions prefetch."""

    early: list[str] = field(default_factory=list)
    now: list[str] = field(default_factory=list)
    prefetched: list[tuple[str, list[str], bool]] = field(default_factory=list)
    anew: list[str] = field(default_factory=list)


def trusting(folder: Path, *repositories: MadeRepository) -> Trust:
    """Trust in repositories at their folders; the names are shortened from the parent folders'."""
    store = TrustStore(folder / "trust")
    for each in repositories:
        name = "made" if "made" in each.folder.parent.name else "other"
        store.add(name, each.folder.as_uri() + "/", each.root.read_bytes())
    return store.read()


def opened(
    folder: Path,
    trust: Trust,
    signers: Signers | None = None,
    downloads: Downloads = SILENT,
    *,
    installs: bool = False,
) -> VerifiedIndex:
    more = {"installs": True} if installs else {}
    return VerifiedIndex(trust, Transport(), Store(folder / "store"), signers, downloads, **more)


def copied(made: MadeRepository, folder: Path) -> MadeRepository:
    """The same repository for a test that changes its files."""
    place = folder / "made-copy" / "repository"
    shutil.copytree(made.folder, place)
    return replace(made, folder=place)


def file_of(index: VerifiedIndex, filename: str) -> PageFile:
    page = index.page(canonicalize_name(filename.partition("-")[0]))
    assert page is not None
    found = page.file(filename)
    assert found is not None
    return found


def left_open(file: PageFile) -> PageFile:
    return file._replace(sha256=NOT_KNOWN_YET, size=None, core_metadata=None)
