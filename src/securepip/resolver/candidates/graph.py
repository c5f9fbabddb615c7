"""What the resolver reasons about: requirements and candidates.

Rule: two of these are the same only when they are one object (``eq=False``); whoever makes them
makes one for each file, each installed distribution, each set of extras. That makes comparing and
remembering cheap, and is how a candidate that was ruled out is recognized.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import NormalizedName, canonicalize_name
from packaging.version import Version

from securepip.index.types import UserDirectory

if TYPE_CHECKING:
    from securepip.formats.core_metadata import CoreMetadata
    from securepip.index.types import AnyFile
    from securepip.resolver.environment.target import InstalledDistribution
    from securepip.resolver.options import ConfigSettings
    from securepip.resolver.requirements.links import UserLink

PYTHON = "<Python from Requires-Python>"
"""The identifier of the interpreter; no project can have that name."""


def identifier_of(project: NormalizedName, extras: frozenset[NormalizedName]) -> str:
    """How the resolver calls a project with extras: ``name[a,b]``."""
    return f"{project}[{','.join(sorted(extras))}]" if extras else project


def project_of(identifier: str) -> NormalizedName:
    """The project of an identifier."""
    return NormalizedName(identifier.partition("[")[0])


@dataclass(frozen=True, eq=False)
class SpecifierRequirement:
    """A project, perhaps with extras, in one of the versions that a specifier admits.

    Attributes:
        project: The normalized name.
        extras: The extras that are asked for.
        specifier: The versions.
        text: As it reads in messages.
        comes_from: Who asks, as pip says it: ``flask>=2->-r FILE (line 1)``; "" is the user.
    """

    project: NormalizedName
    extras: frozenset[NormalizedName]
    specifier: SpecifierSet
    text: str
    comes_from: str = ""

    @cached_property
    def identifier(self) -> str:
        """What it is about."""
        return identifier_of(self.project, self.extras)

    @property
    def unmarked(self) -> str:
        """As it reads where its marker, which holds, is of no more interest."""
        return self.text.partition(";")[0]

    @property
    def chain(self) -> str:
        """It, and who asks for it: what is required because of it comes from that."""
        return f"{self.text}->{self.comes_from}" if self.comes_from else self.text

    def is_satisfied_by(self, candidate: Candidate) -> bool:
        """Whether that version will do. Pre-releases were judged when candidates were found."""
        return self.specifier.contains(candidate.version, prereleases=True)

    def describe(self) -> str:
        """It, in a sentence about a conflict."""
        parts = [part.strip() for part in self.text.split(",")]
        return " and ".join([", ".join(parts[:-1]), parts[-1]]) if len(parts) > 1 else self.text


@dataclass(frozen=True, eq=False)
class ExactRequirement:
    """That very candidate: what extras ask of the project they belong to."""

    candidate: BaseCandidate | ExtrasCandidate

    @property
    def identifier(self) -> str:
        """What it is about."""
        return self.candidate.identifier

    @property
    def project(self) -> NormalizedName:
        """The normalized name."""
        return self.candidate.project

    @property
    def text(self) -> str:
        """As it reads in messages."""
        return f"{self.candidate.identifier} {self.candidate.version}"

    def is_satisfied_by(self, candidate: Candidate) -> bool:
        """Whether it is that one."""
        return candidate is self.candidate

    def describe(self) -> str:
        """It, in a sentence about a conflict."""
        return self.candidate.describe()


@dataclass(frozen=True, eq=False)
class PythonRequirement:
    """A ``Requires-Python``."""

    specifier: SpecifierSet

    identifier = PYTHON
    project = NormalizedName(PYTHON)

    @property
    def text(self) -> str:
        """As it reads in messages."""
        return f"Python {self.specifier}"

    def is_satisfied_by(self, candidate: Candidate) -> bool:
        """Whether the interpreter has such a version."""
        return self.specifier.contains(candidate.version, prereleases=True)

    def describe(self) -> str:
        """It, in a sentence about a conflict."""
        return self.text


@dataclass(frozen=True, eq=False)
class UnsignedRequirement:
    """A dependency on an address (``name @ url``): no signature covers it, so nothing meets it."""

    project: NormalizedName
    text: str

    @property
    def identifier(self) -> str:
        """What it is about."""
        return self.project

    def is_satisfied_by(self, candidate: Candidate) -> bool:
        """Never."""
        return False

    def describe(self) -> str:
        """It, in a sentence about a conflict."""
        return f"{self.text} (an address, which no trusted repository signs)"


ProjectRequirement = SpecifierRequirement | ExactRequirement | UnsignedRequirement
AnyRequirement = ProjectRequirement | PythonRequirement


@dataclass(frozen=True, eq=False)
class FileCandidate:
    """A file of a verified page, or the user's own file or folder, with its metadata.

    Attributes:
        project: The normalized name.
        version: The version.
        file: The file.
        raw_metadata: The METADATA: of a signed file as verified.
        metadata: What it says.
        asked_by: The requirement it was made for first.
        link: The path or URL that named it; None of what was found under its name.
        config_settings: For its build.
    """

    project: NormalizedName
    version: Version
    file: AnyFile
    raw_metadata: bytes
    metadata: CoreMetadata
    asked_by: SpecifierRequirement
    link: UserLink | None = None
    config_settings: ConfigSettings = field(default_factory=dict)

    @property
    def identifier(self) -> str:
        """What it is a candidate for."""
        return self.project

    def requires(self, extras: Collection[NormalizedName]) -> Sequence[Requirement]:
        """Its requirements with their markers; of those of other extras some may be missing."""
        return self.metadata.requires_dist

    @property
    def provided_extras(self) -> frozenset[NormalizedName]:
        """The extras it has."""
        return self.metadata.extras

    def describe(self) -> str:
        """It, in a sentence about a conflict."""
        if self.link is None:
            return f"{self.project} {self.version} (from {self.file.filename})"
        editable = isinstance(self.file, UserDirectory) and self.file.editable
        mark = "editable " if editable else ""
        return f"{self.project} {self.version} (from {mark}{self.link.shown})"


@dataclass(frozen=True, eq=False)
class InstalledCandidate:
    """What is installed already.

    Attributes:
        distribution: The installed distribution.
        asked_by: The requirement it was made for first.
    """

    distribution: InstalledDistribution
    asked_by: SpecifierRequirement

    @property
    def project(self) -> NormalizedName:
        """The normalized name."""
        return self.distribution.project

    @property
    def identifier(self) -> str:
        """What it is a candidate for."""
        return self.distribution.project

    @property
    def version(self) -> Version:
        """The version."""
        return self.distribution.version

    def requires(self, extras: Collection[NormalizedName]) -> Sequence[Requirement]:
        """Its requirements with their markers; of those of other extras some may be missing."""
        return self.distribution.requires(extras)

    @property
    def provided_extras(self) -> frozenset[NormalizedName]:
        """The extras it has."""
        return self.distribution.extras

    def describe(self) -> str:
        """It, in a sentence about a conflict."""
        return f"{self.project} {self.version} (Installed)"


BaseCandidate = FileCandidate | InstalledCandidate


@dataclass(frozen=True, eq=False)
class ExtrasCandidate:
    """A candidate with extras: depends on the candidate without, and on what the extras add.

    Attributes:
        base: The candidate without extras.
        extras: The extras.
        asked_by: The requirement it was made for first.
    """

    base: BaseCandidate
    extras: frozenset[NormalizedName]
    asked_by: SpecifierRequirement

    @property
    def project(self) -> NormalizedName:
        """The normalized name."""
        return self.base.project

    @cached_property
    def identifier(self) -> str:
        """What it is a candidate for."""
        return identifier_of(self.base.project, self.extras)

    @property
    def version(self) -> Version:
        """The version."""
        return self.base.version

    def describe(self) -> str:
        """It, in a sentence about a conflict."""
        return f"{self.base.describe()} [{', '.join(sorted(self.extras))}]"


@dataclass(frozen=True, eq=False)
class PythonCandidate:
    """The target interpreter."""

    version: Version

    identifier = PYTHON
    project = NormalizedName(PYTHON)

    def describe(self) -> str:
        """It, in a sentence about a conflict."""
        return f"Python {self.version}"


Candidate = BaseCandidate | ExtrasCandidate | PythonCandidate


def chain_of(candidate: BaseCandidate | ExtrasCandidate) -> str:
    """Who asks for what a candidate requires: ``SpecifierRequirement.comes_from`` of that."""
    asked_by = candidate.asked_by
    if isinstance(candidate, ExtrasCandidate):
        return asked_by.chain
    # As in pip: the marker is quoted of what has extras only.
    return asked_by.chain.replace(asked_by.text, asked_by.unmarked, 1)


def requirements_from(
    written: Requirement, comes_from: str, *, by_user: bool = False
) -> list[SpecifierRequirement]:
    """What is written, in one or two requirements; its marker has been judged already.

    With extras and versions both, the versions are also asked of the project itself. They then
    rule out its candidates before any is tried with the extras.
    """
    asked = SpecifierRequirement(
        project=canonicalize_name(written.name),
        extras=frozenset(canonicalize_name(extra) for extra in written.extras),
        specifier=written.specifier,
        # As in pip, a dependency is quoted with its marker, what the user wrote without.
        text=str(written) if written.marker and not by_user else _without_marker(written),
        comes_from=comes_from,
    )
    if not (written.extras and written.specifier):
        return [asked]
    versions = SpecifierRequirement(
        project=asked.project,
        extras=frozenset(),
        specifier=asked.specifier,
        text=f"{written.name}{written.specifier}",
        comes_from=asked.chain,
    )
    return [versions, asked]


def _without_marker(written: Requirement) -> str:
    extras = f"[{','.join(sorted(written.extras))}]" if written.extras else ""
    return f"{written.name}{extras}{written.specifier}"


def is_pin(specifiers: Iterable[object]) -> bool:
    """Whether one of the specifiers names a single version (``==`` without ``*``, ``===``)."""
    return any(
        str(one).startswith("===") or (str(one).startswith("==") and not str(one).endswith(".*"))
        for one in specifiers
    )
