"""Finds out where an installed distribution comes from, and which signed file it may be.

Rule: no metadata says which wheel was installed. The tags in the file WHEEL nearly always do; where
several wheels of a release have these tags, the contents decide.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from packaging.tags import parse_tag
from packaging.utils import NormalizedName
from packaging.version import Version

from securepip.formats.distribution import WHEEL_SUFFIX, DistributionName, Kind, parse_distribution
from securepip.formats.page import PageFile, ProjectPage
from securepip.redaction import redact
from securepip.resolver import TargetEnvironment
from securepip.verify.record import read_bounded
from securepip.verify.types import Status
from securepip.verify.wheel import tags_of

DIRECT_URL = "direct_url.json"
_MAX_TEXT_BYTES = 1 << 20
_MAX_CANDIDATES = 3
_WITH_PYTHON = frozenset({"pip", "setuptools", "wheel"})
_OF_THE_SYSTEM = ("/usr/share/python-wheels",)


@dataclass(frozen=True)
class Own:
    """The source that the user named directly, according to ``direct_url.json`` (PEP 610).

    Attributes:
        status: ``EDITABLE``, ``LOCAL`` or ``DIRECT``.
        url: The address or path, without credentials.
    """

    status: Status
    url: str


def own_of(dist_info: Path) -> Own | None:
    """The source that the user named directly; None if the distribution came from an index."""
    data = read_bounded(dist_info / DIRECT_URL, _MAX_TEXT_BYTES)
    if data is None:
        return None
    try:
        document = json.loads(data)
        url = redact(str(document["url"]))
        folder = document.get("dir_info")
        is_editable = isinstance(folder, dict) and folder.get("editable") is True
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return Own(Status.LOCAL, "an address that cannot be read")
    if is_editable:
        return Own(Status.EDITABLE, url)
    return Own(Status.LOCAL if url.startswith("file:") else Status.DIRECT, url)


def installer_of(dist_info: Path) -> str:
    """The name of the program that installed it, from the file INSTALLER; "" for none."""
    text = (read_bounded(dist_info / "INSTALLER", 256) or b"").decode(errors="replace")
    return text.strip()


def files_of(page: ProjectPage, version: Version) -> list[tuple[PageFile, DistributionName]]:
    """The files of one release, each with its parsed name."""
    named = ((file, parse_distribution(file.filename, page.project)) for file in page.files)
    return [(file, name) for file, name in named if name is not None and name.version == version]


def candidates(
    files: Sequence[tuple[PageFile, DistributionName]],
    dist_info: Path,
    environment: TargetEnvironment,
) -> list[PageFile]:
    """The wheels that may have been installed, the likeliest first, up to ``_MAX_CANDIDATES``."""
    installed_tags = tags_of(read_bounded(dist_info / "WHEEL", _MAX_TEXT_BYTES) or b"")
    rank = {tag: place for place, tag in enumerate(environment.tags)}
    exact: list[PageFile] = []
    fitting: list[tuple[int, PageFile]] = []
    for file, name in files:
        if name.kind is not Kind.WHEEL:
            continue
        tags = parse_tag(name.tags)
        if tags == installed_tags:
            exact.append(file)
        elif places := [rank[tag] for tag in tags if tag in rank]:
            fitting.append((min(places), file))
    fitting.sort(key=lambda one: one[0])
    return [*exact, *(file for _, file in fitting)][:_MAX_CANDIDATES]


def has_sdist(files: Sequence[tuple[PageFile, DistributionName]]) -> bool:
    """Whether the release has a source distribution."""
    return any(name.kind is Kind.SDIST for _, name in files)


def with_python(
    project: NormalizedName, version: Version, environment: TargetEnvironment
) -> Iterator[Path]:
    """The wheels that come with the interpreter for new environments (``ensurepip``).

    Folders into which packages are installed are left out: a package could add a forged wheel.
    """
    if project not in _WITH_PYTHON:
        return
    packages = {environment.purelib, environment.platlib}
    library = [Path(entry) for entry in environment.path if Path(entry) not in packages]
    folders = [entry / "ensurepip" / "_bundled" for entry in library]
    folders += [Path(entry) for entry in _OF_THE_SYSTEM if sys.platform != "win32"]
    for folder in folders:
        for path in sorted(folder.glob(f"{project}-*{WHEEL_SUFFIX}")):
            name = parse_distribution(path.name, project)
            if name is not None and name.version == version:
                yield path
