"""From a verified project page to the files that may be installed here, best first.

Rule: the order is pip's. A file name is looked at once: its tags first, by their text (a page has
thousands of wheels in a few dozen combinations of tags), and only a file that fits is parsed.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache

from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.tags import Tag, parse_tag
from packaging.utils import BuildTag
from packaging.version import Version

from securepip.formats.digests import Sha256
from securepip.formats.distribution import WHEEL_SUFFIX, Kind, parse_distribution
from securepip.formats.page import PageFile, ProjectPage
from securepip.resolver.environment import TargetEnvironment


@dataclass(frozen=True, slots=True)
class OfferedFile:
    """A file of a project's page that fits the target environment.

    Attributes:
        file: The file.
        version: The version its name says.
        kind: Wheel or sdist.
    """

    file: PageFile
    version: Version
    kind: Kind


class FileRanking:
    """What fits one environment, and how well.

    Args:
        environment: The target.
    """

    def __init__(self, environment: TargetEnvironment) -> None:
        self._rank_of_tag: dict[Tag, int] = {tag: at for at, tag in enumerate(environment.tags)}
        self._worst = len(environment.tags)
        self._accepts_python = cache(environment.accepts_python)
        self._rank_of_tags: dict[str, int | None] = {}
        self._python = environment.version

    def offers(self, page: ProjectPage) -> Offers:
        """The files of ``page`` that fit, best first."""
        ranked: list[tuple[tuple[bool, Version, int, BuildTag], OfferedFile]] = []
        too_new: set[tuple[Version, str]] = set()
        for file in page.files:
            rank = self._rank(file.filename)
            if rank is None:
                continue
            name = parse_distribution(file.filename, page.project)
            if name is None:
                continue
            if not self._accepts_python(file.requires_python):
                too_new.add((name.version, file.requires_python or ""))
                continue
            key = (file.yanked is None, name.version, -rank, name.build)
            ranked.append((key, OfferedFile(file, name.version, name.kind)))
        # pip sorts upwards and reverses: of equals, the last on the page is first.
        ranked.sort(key=lambda entry: entry[0])
        return Offers(
            tuple(offered for _, offered in reversed(ranked)),
            tuple(f"{version} Requires-Python {asked}" for version, asked in sorted(too_new)),
        )

    def _rank(self, filename: str) -> int | None:
        """The place of its best tag, lower is better; None when it does not fit."""
        if not filename.endswith(WHEEL_SUFFIX):
            return self._worst
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
    """

    def __init__(
        self, files: tuple[OfferedFile, ...] = (), python_mismatches: tuple[str, ...] = ()
    ) -> None:
        self.files = files
        self.python_mismatches = python_mismatches
        self._by_version: dict[Version, list[OfferedFile]] = {}
        for offered in files:
            self._by_version.setdefault(offered.version, []).append(offered)

    def matching(
        self, specifier: SpecifierSet, *, prereleases: bool, hashes: frozenset[Sha256]
    ) -> list[OfferedFile]:
        """The files that ``specifier`` admits, best first.

        Args:
            specifier: What is asked for.
            prereleases: Admit pre-releases; else only where the specifier names one, or where
                nothing else is left (PEP 440).
            hashes: When a file has one of these, only such files; else all, so that the caller can
                say which hash was found instead.
        """
        admitted = specifier.filter(self._by_version, prereleases=prereleases or None)
        files = [offered for version in admitted for offered in self._by_version[version]]
        allowed = [offered for offered in files if offered.file.sha256 in hashes]
        files = allowed or files
        # PEP 592: yanked files only where a pin leaves nothing else.
        if is_pin(specifier) and all(offered.file.yanked is not None for offered in files):
            return files
        return [offered for offered in files if offered.file.yanked is None]


def is_pin(specifiers: Iterable[object]) -> bool:
    """Whether one of the specifiers names a single version (``==`` without ``*``, ``===``)."""
    return any(
        str(one).startswith("===") or (str(one).startswith("==") and not str(one).endswith(".*"))
        for one in specifiers
    )


def specifier_set(text: str | None) -> SpecifierSet:
    """The specifiers in ``text``; none when there are none, or as pip has it, no valid ones."""
    try:
        return SpecifierSet(text or "")
    except InvalidSpecifier:
        return SpecifierSet()
