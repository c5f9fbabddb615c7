"""Selects and ranks the files of a verified page and of the user's places that fit the target.

Rule: the order is pip's. Tags are checked first, by their text, because a page may have thousands
of wheels with a few dozen combinations of tags. Only the name of a file that fits is parsed.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.tags import Tag, parse_tag
from packaging.utils import BuildTag, NormalizedName
from packaging.version import Version

from securepip.errors import ResolutionError
from securepip.formats.distribution import WHEEL_SUFFIX, Kind, parse_distribution
from securepip.formats.page import PageFile, ProjectPage
from securepip.resolver.candidates.graph import is_pin
from securepip.resolver.candidates.places import LocalFile
from securepip.resolver.environment.target import TargetEnvironment
from securepip.resolver.options import ResolveOptions

_log = logging.getLogger(__name__)
_PYTHON_IN_NAME = re.compile(r"-py([123]\.?[0-9]?)\.(?:tar|zip|tgz|tbz)")


@dataclass(frozen=True, slots=True, eq=False)
class OfferedFile:
    """A file that fits the target: of a verified page, or in one of the user's places.

    Attributes:
        file: The file.
        version: The version in its name.
        kind: Wheel or sdist.
    """

    file: PageFile | LocalFile
    version: Version
    kind: Kind

    @property
    def hash(self) -> str:
        """The hash that its page gives, ``sha256:…``; "" if there is none."""
        if isinstance(self.file, LocalFile):
            return self.file.hash
        return f"sha256:{self.file.sha256}" if self.file.sha256 else ""


class FileRanking:
    """Decides which files fit an environment and the user's options, and ranks them.

    Args:
        environment: The target.
        options: How to choose.
    """

    def __init__(
        self, environment: TargetEnvironment, options: ResolveOptions | None = None
    ) -> None:
        self._options = options or ResolveOptions()
        self._rank_of_tag: dict[Tag, int] = {tag: at for at, tag in enumerate(environment.tags)}
        self._worst = len(environment.tags)
        self._accepts_python = cache(environment.accepts_python)
        self._rank_of_tags: dict[str, int | None] = {}
        self._python = f"{environment.version.major}.{environment.version.minor}"

    def offers(
        self, project: NormalizedName, page: ProjectPage | None, local: Sequence[LocalFile] = ()
    ) -> Offers:
        """The files that fit, best first.

        Args:
            project: The project.
            page: Its verified page.
            local: Its files in the user's places. Of equal files the signed one is better.

        Raises:
            ResolutionError: ``--uploaded-prior-to`` is given, and the page has no upload times.
        """
        ranked: list[tuple[tuple[bool, bool, Version, int, BuildTag], OfferedFile]] = []
        too_new: set[tuple[Version, str]] = set()
        wheels = self._options.formats.allows_wheel(project)
        sdists = self._options.formats.allows_sdist(project)
        files: list[PageFile | LocalFile] = [*local]
        files += page.files if page is not None else ()
        for file in files:
            is_wheel = file.filename.endswith(WHEEL_SUFFIX)
            if not wheels if is_wheel else not sdists:
                continue
            rank = self._rank(file.filename)
            if rank is None:
                continue
            name = parse_distribution(file.filename, project)
            if name is None or self._is_too_late(file):
                continue
            if not (
                self._options.ignore_requires_python or self._accepts_python(file.requires_python)
            ):
                too_new.add((name.version, file.requires_python or ""))
                continue
            prefer = self._options.prefer_binary and is_wheel
            key = (file.yanked is None, prefer, name.version, -rank, name.build)
            ranked.append((key, OfferedFile(file, name.version, name.kind)))
        # As in pip, which sorts ascending and reverses: of equal files the page's last is first.
        ranked.sort(key=lambda entry: entry[0])
        return Offers(
            tuple(offered for _, offered in reversed(ranked)),
            tuple(f"{version} Requires-Python {asked}" for version, asked in sorted(too_new)),
            () if ranked or too_new else tuple(file.filename for file in files),
            project=project,
            wheels_first=self._options.prefer_binary,
        )

    def fits(self, filename: str) -> bool:
        """Whether a wheel of that name can be installed here."""
        return self._rank(filename) is not None

    def _is_too_late(self, file: PageFile | LocalFile) -> bool:
        limit = self._options.uploaded_prior_to
        if limit is None or isinstance(file, LocalFile):
            return False
        if file.upload_time is None:
            raise ResolutionError(
                f"The page of {file.filename} does not provide upload-time metadata.",
                meaning="--uploaded-prior-to cannot be honoured without it.",
            )
        return file.upload_time >= limit

    def _rank(self, filename: str) -> int | None:
        """The rank of its best tag, lower is better; None if no tag fits."""
        if not filename.endswith(WHEEL_SUFFIX):
            python = _PYTHON_IN_NAME.search(filename)
            return self._worst if python is None or python[1] == self._python else None
        tags = "-".join(filename.removesuffix(WHEEL_SUFFIX).rsplit("-", 3)[1:])
        if tags not in self._rank_of_tags:
            self._rank_of_tags[tags] = self._best_rank(tags)
        return self._rank_of_tags[tags]

    def _best_rank(self, tags: str) -> int | None:
        try:
            ranks = [self._rank_of_tag[t] for t in parse_tag(tags) if t in self._rank_of_tag]
        except ValueError:
            return None
        return min(ranks, default=None)


class Offers:
    """The files of one project that fit the target.

    Attributes:
        files: Best first.
        python_mismatches: Versions whose Requires-Python excludes the target, for messages.
        passed_over: The names of all files, where none fits for other reasons, for messages.
    """

    def __init__(
        self,
        files: tuple[OfferedFile, ...] = (),
        python_mismatches: tuple[str, ...] = (),
        passed_over: tuple[str, ...] = (),
        *,
        project: str = "",
        wheels_first: bool = False,
    ) -> None:
        self._project = project
        self.files = files
        self._wheels_first = wheels_first
        self.python_mismatches = python_mismatches
        self.passed_over = passed_over
        self._by_version: dict[Version, list[OfferedFile]] = {}
        for offered in files:
            self._by_version.setdefault(offered.version, []).append(offered)

    def matching(
        self, specifier: SpecifierSet, *, prereleases: bool | None, hashes: frozenset[str]
    ) -> list[OfferedFile]:
        """The files that ``specifier`` admits, best first.

        Args:
            specifier: The versions that are admitted.
            prereleases: Whether to admit pre-releases. None means only if the specifier names one,
                or if nothing else is left (PEP 440).
            hashes: If some files have one of these hashes, only those are returned, and after them
                the files without a known hash. If no file has, all are returned, so that the
                caller can say which hash was found instead.
        """
        admitted = list(specifier.filter(self._by_version, prereleases=prereleases))
        if self._wheels_first:
            versions = set(admitted)
            files = [offered for offered in self.files if offered.version in versions]
        else:
            files = [offered for version in admitted for offered in self._by_version[version]]
        if hashes:
            files = _with_hashes(self._project, files, hashes)
        # PEP 592: yanked files only if the requirement is a pin and there are no others.
        if is_pin(specifier) and all(offered.file.yanked is not None for offered in files):
            return files
        return [offered for offered in files if offered.file.yanked is None]


def _with_hashes(
    project: str, files: list[OfferedFile], hashes: frozenset[str]
) -> list[OfferedFile]:
    """The files with one of the hashes, then those without a known hash; all if none has one."""
    allowed = [offered for offered in files if offered.hash in hashes]
    unknown = [offered for offered in files if not offered.hash]
    kept = [*allowed, *unknown] if allowed else files
    left = [offered.file for offered in files if offered not in kept]
    urls = "".join(f"\n  {file.url}" for file in left)
    _log.debug(
        "Checked %s links for project %r against %s hashes (%s matches, %s no digest): %s",
        len(files),
        project,
        len(hashes),
        len(allowed),
        len(unknown),
        f"discarding {len(left)} non-matches:{urls}" if left else "discarding no candidates",
    )
    return kept


def specifier_set(text: str | None) -> SpecifierSet:
    """Parse a ``Requires-Python``. As in pip, an invalid one is taken for an empty one."""
    try:
        return SpecifierSet(text or "")
    except InvalidSpecifier:
        return SpecifierSet()
