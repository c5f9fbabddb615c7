"""The resolver's options, and the interfaces of what it needs from outside: builds, downloads.

Rule: the command line's options come first; those of requirements files are added to them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Literal, Protocol

from packaging.utils import NormalizedName, canonicalize_name

from securepip.errors import UsageError
from securepip.index.types import AnyFile

ConfigSettings = Mapping[str, str | list[str]]
"""``--config-settings`` (PEP 517). The value of a key that is given twice is a list."""


@dataclass(frozen=True)
class NameSets:
    """Two sets of projects, filled by two options of pip that exclude each other.

    Attributes:
        first: Normalized names, perhaps ``:all:``.
        second: Likewise.
    """

    first: frozenset[str] = frozenset()
    second: frozenset[str] = frozenset()

    def _moved(self, value: str, option: str, *, into_first: bool) -> tuple[set[str], set[str]]:
        """Both sets after one more value of an option: ``a,b``, ``:all:`` or ``:none:``.

        Raises:
            UsageError: The value looks like an option.
        """
        if value.startswith("-"):
            raise UsageError(f"{option} option requires 1 argument.")
        target, other = set(self.first), set(self.second)
        if not into_first:
            target, other = other, target
        names = value.split(",")
        while ":all:" in names:
            target, other = {":all:"}, set()
            del names[: names.index(":all:") + 1]
            if ":none:" not in names:
                names = []
        for name in names:
            if name == ":none:":
                target.clear()
            else:
                other.discard(canonicalize_name(name))
                target.add(canonicalize_name(name))
        return (target, other) if into_first else (other, target)

    def _side(self, project: NormalizedName) -> Literal[1, 2] | None:
        for name in (project, ":all:"):
            if name in self.first:
                return 1
            if name in self.second:
                return 2
        return None


class FormatControl(NameSets):
    """``--no-binary`` (first) and ``--only-binary`` (second)."""

    def with_no_binary(self, value: str) -> FormatControl:
        """The sets after one more ``--no-binary``.

        Raises:
            UsageError: The value looks like an option.
        """
        moved = self._moved(value, "--no-binary / --only-binary", into_first=True)
        return FormatControl(*map(frozenset, moved))

    def with_only_binary(self, value: str) -> FormatControl:
        """The sets after one more ``--only-binary``.

        Raises:
            UsageError: The value looks like an option.
        """
        moved = self._moved(value, "--no-binary / --only-binary", into_first=False)
        return FormatControl(*map(frozenset, moved))

    def allows_wheel(self, project: NormalizedName) -> bool:
        """Whether wheels of the project may be used."""
        return self._side(project) != 1

    def allows_sdist(self, project: NormalizedName) -> bool:
        """Whether source distributions of the project may be used."""
        return self._side(project) != 2


class ReleaseControl(NameSets):
    """``--all-releases`` (first) and ``--only-final`` (second). ``--pre`` puts ``:all:`` first."""

    def with_all_releases(self, value: str) -> ReleaseControl:
        """The sets after one more ``--all-releases``.

        Raises:
            UsageError: The value looks like an option.
        """
        moved = self._moved(value, "--all-releases / --only-final", into_first=True)
        return ReleaseControl(*map(frozenset, moved))

    def with_only_final(self, value: str) -> ReleaseControl:
        """The sets after one more ``--only-final``.

        Raises:
            UsageError: The value looks like an option.
        """
        moved = self._moved(value, "--all-releases / --only-final", into_first=False)
        return ReleaseControl(*map(frozenset, moved))

    def prereleases(self, project: NormalizedName) -> bool | None:
        """Whether pre-releases of the project may be used; None means by the rules of PEP 440."""
        return {1: True, 2: False, None: None}[self._side(project)]


@dataclass(frozen=True)
class ResolveOptions:
    """pip's options about choosing distributions.

    ``ResolveInput.options`` adds those that requirements files have.

    Attributes:
        upgrade: ``-U``: install newer versions of the projects that the user names.
        upgrade_strategy: With ``-U``: ``only-if-needed`` keeps dependencies that satisfy all
            requirements, ``eager`` upgrades them too.
        prereleases: ``--pre``.
        no_deps: ``--no-deps``.
        only_deps: ``--only-deps``: install the dependencies of the named projects, not these.
        require_hashes: ``--require-hashes``.
        ignore_installed: ``-I``; also for ``download`` and ``--target``. Resolve as if nothing were
            installed.
        force_reinstall: ``--force-reinstall``.
        ignore_requires_python: ``--ignore-requires-python``.
        uploaded_prior_to: ``--uploaded-prior-to``: use no signed file from that moment or later.
        formats: ``--no-binary`` and ``--only-binary``.
        prefer_binary: ``--prefer-binary``.
        releases: ``--all-releases`` and ``--only-final``.
        allow_older_releases: ``--allow-older-releases``: also for a project that the user names,
            take an older release if the newest requires something that nobody signs.
        no_index: ``--no-index``: do not ask the verified index.
        find_links: ``--find-links``: folders, files and pages of links on this machine.
        locked_files: The files on this machine that lock files name.
        own_indexes: Indexes in folders of this machine that the user names, and that mean no
            trusted repository. Like ``find_links``, they hold the user's own files.
        config_settings: ``--config-settings`` of the command line, for all that the user names.
        downloads: The folder of ``download``. A file in it is used instead of the one at a direct
            URL if it has the name and the hash that the user gave.
    """

    upgrade: bool = False
    upgrade_strategy: Literal["only-if-needed", "eager"] = "only-if-needed"
    prereleases: bool = False
    no_deps: bool = False
    only_deps: bool = False
    require_hashes: bool = False
    ignore_installed: bool = False
    force_reinstall: bool = False
    ignore_requires_python: bool = False
    uploaded_prior_to: datetime | None = None
    formats: FormatControl = field(default_factory=FormatControl)
    prefer_binary: bool = False
    releases: ReleaseControl = field(default_factory=ReleaseControl)
    allow_older_releases: bool = False
    no_index: bool = False
    find_links: tuple[str, ...] = ()
    locked_files: tuple[str, ...] = ()
    own_indexes: tuple[str, ...] = ()
    config_settings: ConfigSettings = field(default_factory=dict)
    downloads: Path | None = None


class FetchDirect(Protocol):
    """Fetches a file from a direct URL that the user named with a hash."""

    def __call__(self, url: str, hashes: frozenset[str]) -> Path:
        """Fetch the file, and check its hash before anything else reads it.

        Args:
            url: The URL, without fragment.
            hashes: The hashes that it may have: ``sha256:…``, ``sha384:…`` or ``sha512:…``.

        Returns:
            The path of the file.

        Raises:
            VerificationError: It has none of the hashes.
            TransportError: It could not be fetched.
        """


class SdistMetadata(Protocol):
    """Gets the metadata of a source distribution or a folder by running its build backend."""

    def __call__(
        self,
        project: NormalizedName | None,
        file: AnyFile,
        config_settings: ConfigSettings | None = None,
    ) -> bytes:
        """The METADATA of the wheel that would be built from ``file``.

        Before it runs any code, the implementation fetches a signed file from the verified index,
        or hashes a user's file again.

        Args:
            project: The project; None if only the metadata says which project the user has named.
            file: A file of a verified page, or the user's own file or folder. Never a wheel.
            config_settings: ``--config-settings`` for this build.

        Raises:
            SecurepipError: It could not be fetched, verified or built. As in pip, this ends the
                resolution.
        """
