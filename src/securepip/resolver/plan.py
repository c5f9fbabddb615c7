"""The result of a resolution: what will be installed, and why."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from packaging.utils import NormalizedName
from packaging.version import Version

from securepip.formats.page import PageFile
from securepip.index.types import AnyFile, UserDirectory, UserFile


@dataclass(frozen=True)
class PlannedFile:
    """One distribution that will be installed.

    Attributes:
        project: The normalized name.
        version: The version.
        file: The file of the project's verified page, or the file or folder that the user named.
        requested: Whether the user named the project (pip marks these REQUESTED).
        extras: The extras that are asked for.
        required_by: The projects that require it; empty if only the user does.
        core_metadata: The METADATA that was used to resolve. The METADATA in the wheel that is
            installed must be the same bytes.
        is_direct: Whether the user named it by path or URL (PEP 610); False for ``--find-links``.
        config_settings: ``--config-settings`` for its build.
        beats_signed: If this is the user's own file, chosen over a signed one that the index has:
            the version of that one. Else None.
        written: The name as it was first asked for; "" if it is not known.
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
        """The name that pip shows: as it was first asked for."""
        return self.written or self.project

    @property
    def is_yanked(self) -> bool:
        """Whether its page says that it is yanked."""
        return not isinstance(self.file, UserDirectory) and self.file.yanked is not None

    @property
    def requested_extras(self) -> tuple[NormalizedName, ...]:
        """The extras, sorted, if the user named the project; else none."""
        return tuple(sorted(self.extras)) if self.requested else ()

    @property
    def signed(self) -> PageFile | None:
        """The file of a verified page; None if it is the user's own."""
        return None if isinstance(self.file, (UserFile, UserDirectory)) else self.file


@dataclass(frozen=True)
class SatisfiedRequirement:
    """A requirement that an installed distribution satisfies already.

    Attributes:
        requirement: As written, for example ``flask>=2``.
        project: The normalized name.
        version: The installed version.
        location: The folder that it is installed in.
        required_by: The projects that require it; empty if only the user does.
        comes_from: What first asked for it, in pip's form: ``flask>=2->-r FILE (line 1)``; "" for
            the command line.
    """

    requirement: str
    project: NormalizedName
    version: Version
    location: str
    required_by: tuple[NormalizedName, ...] = ()
    comes_from: str = ""


@dataclass(frozen=True)
class Plan:
    """What will be installed, and what is installed already.

    Attributes:
        install: What will be installed, dependencies first.
        satisfied: The requirements that installed distributions satisfy.
        chosen: The projects of ``install``, in the order in which they were chosen.
    """

    install: tuple[PlannedFile, ...] = ()
    satisfied: tuple[SatisfiedRequirement, ...] = ()
    chosen: tuple[NormalizedName, ...] = ()

    @property
    def as_chosen(self) -> list[PlannedFile]:
        """``install`` in the order of ``chosen``, as reports list it."""
        planned = {one.project: one for one in self.install}
        return [planned[project] for project in self.chosen]

    @property
    def signed(self) -> list[tuple[NormalizedName, PageFile]]:
        """The files to fetch from the verified index, in the order of ``install``."""
        return [(one.project, one.signed) for one in self.install if one.signed is not None]
