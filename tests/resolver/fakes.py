"""A stand-in for the verified index, in memory, so that the resolver is tested alone.

The real index has tests of its own, against real servers.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path

from packaging.utils import NormalizedName, canonicalize_name
from packaging.version import Version

from securepip.errors import FormatError
from securepip.formats.core_metadata import read_core_metadata
from securepip.formats.digests import sha256_of
from securepip.formats.page import PageFile, ProjectPage
from securepip.index.types import Speaker, VerifiedFile
from securepip.resolver import (
    Plan,
    ResolveInput,
    ResolveOptions,
    TargetEnvironment,
    parse_requirement,
    probe,
    resolve,
)
from tests.support.wheels import metadata_text


@dataclass
class FakeIndex:
    """Pages and metadata in memory; counts how many times it would have waited for a server.

    A wave is everything that is fetched at the same time: what was announced together, or one
    thing that was not announced.
    """

    pages: dict[NormalizedName, dict[str, PageFile]] = field(default_factory=dict)
    metadata: dict[str, bytes] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    waves: int = 0
    _announced: set[str] = field(default_factory=set)
    _fetched: set[str] = field(default_factory=set)

    def add(
        self,
        name: str,
        version: str,
        requires: Sequence[str] = (),
        *,
        tag: str = "py3-none-any",
        extras: Sequence[str] = (),
        requires_python: str | None = None,
        on_page: str | None = None,
        yanked: str | None = None,
        metadata: str | None = None,
        filename: str | None = None,
        dynamic: Sequence[str] = (),
    ) -> PageFile:
        """Offer a release: a wheel, or with a ``filename`` of one, an sdist.

        Args:
            name: The project.
            version: The version.
            requires: Requires-Dist.
            tag: The wheel's tags, perhaps after a build number.
            extras: Provides-Extra.
            requires_python: In the metadata, and on the page unless ``on_page`` is given.
            on_page: Requires-Python on the page alone.
            yanked: Why, perhaps "".
            metadata: The METADATA, instead of what the rest says.
            filename: Instead of a wheel's.
            dynamic: The fields that are dynamic.
        """
        project = canonicalize_name(name)
        text = metadata or metadata_text(
            name, version, requires, requires_python, extras, dynamic=dynamic
        )
        filename = filename or f"{project.replace('-', '_')}-{version}-{tag}.whl"
        return self._offer(project, filename, text.encode(), on_page or requires_python, yanked)

    def add_folder(self, folder: Path) -> None:
        """Offer the wheels of a folder, as pip's ``--find-links`` does: no Requires-Python."""
        for path in sorted(folder.glob("*.whl"), reverse=True):
            project = canonicalize_name(path.name.split("-")[0])
            self._offer(project, path.name, read_core_metadata(path), None, None)

    def _offer(
        self,
        project: NormalizedName,
        filename: str,
        metadata: bytes,
        requires_python: str | None,
        yanked: str | None,
    ) -> PageFile:
        file = PageFile(
            filename=filename,
            url=f"https://packages.example.org/{filename}",
            sha256=sha256_of(filename.encode()),
            size=1000,
            requires_python=requires_python,
            yanked=yanked,
            core_metadata=sha256_of(metadata),
        )
        self.pages.setdefault(project, {})[filename] = file
        self.metadata[filename] = metadata
        return file

    def prefetch_pages(self, projects: Iterable[NormalizedName]) -> None:
        self._announced.update(f"page {project}" for project in projects)

    def page(self, project: NormalizedName) -> ProjectPage | None:
        self._wait_for(f"page {project}")
        files = self.pages.get(project)
        return None if files is None else ProjectPage(project, tuple(files.values()))

    def prefetch_metadata(self, project: NormalizedName, files: Sequence[PageFile]) -> None:
        self._announced.update(f"metadata {file.filename}" for file in files)

    def core_metadata(self, project: NormalizedName, file: PageFile) -> bytes:
        self._wait_for(f"metadata {file.filename}")
        data = self.metadata[file.filename]
        if not data:
            raise FormatError(f"{file.filename} holds no metadata")
        return data

    def fetch(self, wanted: Sequence[tuple[NormalizedName, PageFile]]) -> list[VerifiedFile]:
        raise AssertionError("the resolver fetches no distributions")

    def speakers_for(self, project: NormalizedName) -> tuple[Speaker, ...]:
        return (Speaker("main", "https://packages.example.org", is_own=False),)

    def origin(self, project: NormalizedName) -> str:
        return "main at https://packages.example.org"

    def _wait_for(self, thing: str) -> None:
        self.asked.append(thing)
        if thing not in self._fetched:
            self.waves += 1
            # Whatever was announced by now arrives while this is waited for.
            self._fetched |= self._announced | {thing}


class UntouchableIndex(FakeIndex):
    """Fails a test that asks it for anything."""

    def prefetch_pages(self, projects: Iterable[NormalizedName]) -> None:
        raise AssertionError(f"pages announced: {list(projects)}")

    def prefetch_metadata(self, project: NormalizedName, files: Sequence[PageFile]) -> None:
        raise AssertionError(f"metadata announced: {project}")

    def _wait_for(self, thing: str) -> None:
        raise AssertionError(f"asked for: {thing}")


@cache
def _running() -> TargetEnvironment:
    return probe()


def environment(site: Path | None = None, python: str | None = None) -> TargetEnvironment:
    """The running interpreter with nothing installed but what ``site`` holds."""
    target = replace(_running(), path=() if site is None else (str(site),))
    if python is None:
        return target
    markers = {"python_version": ".".join(python.split(".")[:2]), "python_full_version": python}
    return replace(target, version=Version(python), markers={**_running().markers, **markers})


def install(
    site: Path,
    name: str,
    version: str,
    requires: Sequence[str] = (),
    extras: Sequence[str] = (),
) -> None:
    """Leave in ``site`` what an installed distribution leaves there."""
    folder = site / f"{canonicalize_name(name).replace('-', '_')}-{version}.dist-info"
    folder.mkdir(parents=True)
    text = metadata_text(name, version, requires, None, extras)
    (folder / "METADATA").write_text(text, encoding="utf-8")


def plan(
    index: FakeIndex,
    *requirements: str,
    site: Path | None = None,
    python: str | None = None,
    constraints: Sequence[str] = (),
    options: ResolveOptions | None = None,
) -> Plan:
    """Resolve requirements as a command line writes them."""
    asked = ResolveInput(
        tuple(parse_requirement(text) for text in requirements),
        tuple(parse_requirement(text, "-c limits.txt (line 1)") for text in constraints),
    )
    return resolve(asked, environment(site, python), index, options or ResolveOptions())


def pins(chosen: Plan) -> list[str]:
    """What is to be installed, in that order, as ``name==version``."""
    return [f"{file.project}=={file.version}" for file in chosen.install]
