"""The requirements and candidates that the resolver works with.

Rule: two of these are equal only if they are the same object (``eq=False``). The code that makes
them makes one for each file, installed distribution and set of extras. So comparing and hashing is
cheap, and a candidate that was ruled out is recognised.
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
    """The resolver's name for a project with extras: ``name[a,b]``."""
    return f"{project}[{','.join(sorted(extras))}]" if extras else project


def project_of(identifier: str) -> NormalizedName:
    """The project of an identifier."""
    return NormalizedName(identifier.partition("[")[0])


@dataclass(frozen=True, eq=False)
class SpecifierRequirement:
    """A requirement for a project, perhaps with extras, in versions that a specifier admits.

    Attributes:
        project: The normalized name.
        extras: The extras that are asked for.
        specifier: The versions.
        text: The requirement as messages show it.
        comes_from: What asks for it, in pip's form: ``flask>=2->-r FILE (line 1)``; "" is the user.
    """

    project: NormalizedName
    extras: frozenset[NormalizedName]
    specifier: SpecifierSet
    text: str
    comes_from: str = ""

    @cached_property
    def identifier(self) -> str:
        """The identifier that the requirement is about."""
        return identifier_of(self.project, self.extras)

    @property
    def unmarked(self) -> str:
        """``text`` without the marker."""
        return self.text.partition(";")[0]

    @property
    def chain(self) -> str:
        """The ``comes_from`` of what is required because of this requirement."""
        return f"{self.text}->{self.comes_from}" if self.comes_from else self.text

    def is_satisfied_by(self, candidate: Candidate) -> bool:
        """Whether the candidate's version is admitted. ``Offers`` has sorted out pre-releases."""
        return self.specifier.contains(candidate.version, prereleases=True)

    def describe(self) -> str:
        """The requirement, as a message about a conflict shows it."""
        parts = [part.strip() for part in self.text.split(",")]
        return " and ".join([", ".join(parts[:-1]), parts[-1]]) if len(parts) > 1 else self.text


@dataclass(frozen=True, eq=False)
class ExactRequirement:
    """A requirement for one particular candidate. A candidate with extras has one for its base."""

    candidate: BaseCandidate | ExtrasCandidate

    @property
    def identifier(self) -> str:
        """The identifier that the requirement is about."""
        return self.candidate.identifier

    @property
    def project(self) -> NormalizedName:
        """The normalized name."""
        return self.candidate.project

    @property
    def text(self) -> str:
        """The requirement as messages show it."""
        return f"{self.candidate.identifier} {self.candidate.version}"

    def is_satisfied_by(self, candidate: Candidate) -> bool:
        """Whether the candidate is the one that is required."""
        return candidate is self.candidate

    def describe(self) -> str:
        """The requirement, as a message about a conflict shows it."""
        return self.candidate.describe()


@dataclass(frozen=True, eq=False)
class PythonRequirement:
    """The requirement of a ``Requires-Python`` field."""

    specifier: SpecifierSet

    identifier = PYTHON
    project = NormalizedName(PYTHON)

    @property
    def text(self) -> str:
        """The requirement as messages show it."""
        return f"Python {self.specifier}"

    def is_satisfied_by(self, candidate: Candidate) -> bool:
        """Whether the interpreter's version is admitted."""
        return self.specifier.contains(candidate.version, prereleases=True)

    def describe(self) -> str:
        """The requirement, as a message about a conflict shows it."""
        return self.text


@dataclass(frozen=True, eq=False)
class UnsignedRequirement:
    """A dependency on a URL (``name @ url``). No signature covers it, so nothing satisfies it."""

    project: NormalizedName
    text: str

    @property
    def identifier(self) -> str:
        """The identifier that the requirement is about."""
        return self.project

    def is_satisfied_by(self, candidate: Candidate) -> bool:
        """Always False."""
        return False

    def describe(self) -> str:
        """The requirement, as a message about a conflict shows it."""
        return f"{self.text} (a URL, which no trusted repository signs)"


ProjectRequirement = SpecifierRequirement | ExactRequirement | UnsignedRequirement
AnyRequirement = ProjectRequirement | PythonRequirement


@dataclass(frozen=True, eq=False)
class FileCandidate:
    """A file of a verified page, or the user's own file or folder, with its metadata.

    Attributes:
        project: The normalized name.
        version: The version.
        file: The file.
        raw_metadata: Its METADATA; that of a signed file has been verified.
        metadata: The parsed METADATA.
        asked_by: The requirement that it was first made for.
        link: The path or URL that the user named; None if it was found by the project's name.
        config_settings: ``--config-settings`` for its build.
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
        """The identifier that it is a candidate for."""
        return self.project

    def requires(self, extras: Collection[NormalizedName]) -> Sequence[Requirement]:
        """Its requirements with their markers. Those of extras not in ``extras`` may be missing."""
        return self.metadata.requires_dist

    @property
    def provided_extras(self) -> frozenset[NormalizedName]:
        """The extras that it provides."""
        return self.metadata.extras

    def describe(self) -> str:
        """The candidate, as a message about a conflict shows it."""
        if self.link is None:
            return f"{self.project} {self.version} (from {self.file.filename})"
        editable = isinstance(self.file, UserDirectory) and self.file.editable
        mark = "editable " if editable else ""
        return f"{self.project} {self.version} (from {mark}{self.link.shown})"


@dataclass(frozen=True, eq=False)
class InstalledCandidate:
    """An installed distribution.

    Attributes:
        distribution: The distribution.
        asked_by: The requirement that it was first made for.
    """

    distribution: InstalledDistribution
    asked_by: SpecifierRequirement

    @property
    def project(self) -> NormalizedName:
        """The normalized name."""
        return self.distribution.project

    @property
    def identifier(self) -> str:
        """The identifier that it is a candidate for."""
        return self.distribution.project

    @property
    def version(self) -> Version:
        """The version."""
        return self.distribution.version

    def requires(self, extras: Collection[NormalizedName]) -> Sequence[Requirement]:
        """Its requirements with their markers. Those of extras not in ``extras`` may be missing."""
        return self.distribution.requires(extras)

    @property
    def provided_extras(self) -> frozenset[NormalizedName]:
        """The extras that it provides."""
        return self.distribution.extras

    def describe(self) -> str:
        """The candidate, as a message about a conflict shows it."""
        return f"{self.project} {self.version} (Installed)"


BaseCandidate = FileCandidate | InstalledCandidate


@dataclass(frozen=True, eq=False)
class ExtrasCandidate:
    """A candidate with extras. It depends on its base, and on what the extras add.

    Attributes:
        base: The candidate without extras.
        extras: The extras.
        asked_by: The requirement that it was first made for.
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
        """The identifier that it is a candidate for."""
        return identifier_of(self.base.project, self.extras)

    @property
    def version(self) -> Version:
        """The version."""
        return self.base.version

    def describe(self) -> str:
        """The candidate, as a message about a conflict shows it."""
        return f"{self.base.describe()} [{', '.join(sorted(self.extras))}]"


@dataclass(frozen=True, eq=False)
class PythonCandidate:
    """The target interpreter."""

    version: Version

    identifier = PYTHON
    project = NormalizedName(PYTHON)

    def describe(self) -> str:
        """The candidate, as a message about a conflict shows it."""
        return f"Python {self.version}"


Candidate = BaseCandidate | ExtrasCandidate | PythonCandidate


def chain_of(candidate: BaseCandidate | ExtrasCandidate) -> str:
    """The ``comes_from`` of what a candidate requires."""
    asked_by = candidate.asked_by
    if isinstance(candidate, ExtrasCandidate):
        return asked_by.chain
    # As in pip, only a requirement with extras is quoted with its marker.
    return asked_by.chain.replace(asked_by.text, asked_by.unmarked, 1)


def requirements_from(
    written: Requirement, comes_from: str, *, by_user: bool = False
) -> list[SpecifierRequirement]:
    """The one or two requirements of the resolver that a written requirement becomes.

    A requirement with both extras and versions becomes two: the versions are also required of the
    project without extras, so that they rule out its candidates before one is tried with extras.

    Args:
        written: The requirement, whose marker applies.
        comes_from: As ``SpecifierRequirement.comes_from``.
        by_user: Whether the user wrote it.
    """
    asked = SpecifierRequirement(
        project=canonicalize_name(written.name),
        extras=frozenset(canonicalize_name(extra) for extra in written.extras),
        specifier=written.specifier,
        # As in pip, a dependency is quoted with its marker, and the user's requirement without.
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
