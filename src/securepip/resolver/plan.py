"""The result of resolving: what is to be installed, and why."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from packaging.utils import NormalizedName
from packaging.version import Version

from securepip.formats.page import PageFile
from securepip.index.types import AnyFile, UserDirectory, UserFile


@dataclass(frozen=True)
class PlannedFile:
    """One distribution that is to be installed.

    Attributes:
        project: The normalized name.
        version: The version.
        file: The file of the project's verified page, or the file or folder that the user named.
        requested: Whether the user named the project (pip marks these REQUESTED).
        extras: The extras that are asked of it.
        required_by: The projects that want it; empty for what only the user wants.
        core_metadata: The METADATA that was used to resolve; the wheel that is installed must hold
            the same bytes.
        is_direct: Whether the user named it by path or URL (PEP 610); never for ``--find-links``.
        config_settings: ``--config-settings`` of its requirement, for its build alone.
        beats_signed: The version of the signed candidate that this file of a ``--find-links`` place
            was taken instead of; None where there is none.
        written: The name as it was asked for first, or "".
    """

    project: NormalizedName
    version: Version
    file: AnyFile
    requested: bool
    extras: frozenset[NormalizedName]
    required_by: tuple[NormalizedName, ...]
    core_metadata: bytes
    is_direct: bool = False
    config_settings: Mapping[str, str | list[str]] = field(default_factory=dict)
    beats_signed: Version | None = None
    written: str = ""

    @property
    def name(self) -> str:
        """The project's name as who first asked for it wrote it: as pip names it."""
        return self.written or self.project

    @property
    def is_yanked(self) -> bool:
        """Whether its page yanks it."""
        return not isinstance(self.file, UserDirectory) and self.file.yanked is not None

    @property
    def requested_extras(self) -> tuple[NormalizedName, ...]:
        """The extras that the user asked for, as a report lists them."""
        return tuple(sorted(self.extras)) if self.requested else ()

    @property
    def signed(self) -> PageFile | None:
        """The file of a verified page; None when it is the user's own."""
        return None if isinstance(self.file, (UserFile, UserDirectory)) else self.file


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
    """What is to be installed, and what is there already.

    Attributes:
        install: Dependencies before what needs them.
        satisfied: What is there.
        chosen: The projects of ``install`` in the order in which they were chosen.
    """

    install: tuple[PlannedFile, ...] = ()
    satisfied: tuple[SatisfiedRequirement, ...] = ()
    chosen: tuple[NormalizedName, ...] = ()

    @property
    def as_chosen(self) -> list[PlannedFile]:
        """``install`` in the order in which reports list it: what is named comes first."""
        planned = {one.project: one for one in self.install}
        return [planned[project] for project in self.chosen]

    @property
    def signed(self) -> list[tuple[NormalizedName, PageFile]]:
        """What is to be fetched from the verified index, in the order of ``install``."""
        return [(one.project, one.signed) for one in self.install if one.signed is not None]
