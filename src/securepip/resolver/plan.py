"""The result of resolving: what is to be installed, and why."""

from __future__ import annotations

from dataclasses import dataclass

from packaging.utils import NormalizedName
from packaging.version import Version

from securepip.formats.page import PageFile


@dataclass(frozen=True)
class PlannedFile:
    """One distribution that is to be installed.

    Attributes:
        project: The normalized name.
        version: The version.
        file: The file of the project's verified page.
        requested: Whether the user named the project (pip marks these REQUESTED).
        extras: The extras that are asked of it.
        required_by: The projects that want it; empty for what only the user wants.
        core_metadata: The METADATA that was used to resolve; the wheel that is installed must hold
            the same bytes.
    """

    project: NormalizedName
    version: Version
    file: PageFile
    requested: bool
    extras: frozenset[NormalizedName]
    required_by: tuple[NormalizedName, ...]
    core_metadata: bytes


@dataclass(frozen=True)
class SatisfiedRequirement:
    """A requirement that the target environment meets already, as pip prints it.

    Attributes:
        requirement: As written, for example ``flask>=2``.
        project: The normalized name.
        version: What is installed.
        location: The folder it is installed in.
        required_by: The projects it comes from; empty when only the user wants it.
        comes_from: Who asked first, as pip prints it: ``flask>=2->-r FILE (line 1)``; "" for the
            command line.
    """

    requirement: str
    project: NormalizedName
    version: Version
    location: str
    required_by: tuple[NormalizedName, ...] = ()
    comes_from: str = ""


@dataclass(frozen=True)
class Plan:
    """What is to be installed, dependencies before what needs them, and what is there already."""

    install: tuple[PlannedFile, ...] = ()
    satisfied: tuple[SatisfiedRequirement, ...] = ()
