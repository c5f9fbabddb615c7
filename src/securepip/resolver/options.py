"""How to choose: the options of the resolver, and what it may ask of a builder.

Rule: what the command line says comes first, what requirements files say is added to it.
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
"""``--config-settings`` (PEP 517): a key given twice has a list."""


@dataclass(frozen=True)
class NameSets:
    """Two sets of projects that exclude each other, as two options of pip's fill them.

    Attributes:
        first: Normalized names, perhaps ``:all:``.
        second: Likewise.
    """

    first: frozenset[str] = frozenset()
    second: frozenset[str] = frozenset()

    def _moved(self, value: str, option: str, *, into_first: bool) -> tuple[set[str], set[str]]:
        """Both sets after one more value of an option: ``a,b``, ``:all:``, ``:none:``.

        Raises:
            UsageError: The value is another option.
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
        """After one more ``--no-binary``.

        Raises:
            UsageError: The value is another option.
        """
        moved = self._moved(value, "--no-binary / --only-binary", into_first=True)
        return FormatControl(*map(frozenset, moved))

    def with_only_binary(self, value: str) -> FormatControl:
        """After one more ``--only-binary``.

        Raises:
            UsageError: The value is another option.
        """
        moved = self._moved(value, "--no-binary / --only-binary", into_first=False)
        return FormatControl(*map(frozenset, moved))

    def allows_wheel(self, project: NormalizedName) -> bool:
        """Whether a wheel of the project may be used."""
        return self._side(project) != 1

    def allows_sdist(self, project: NormalizedName) -> bool:
        """Whether a source distribution of the project may be used."""
        return self._side(project) != 2


class ReleaseControl(NameSets):
    """``--all-releases`` (first; ``--pre`` is that of ``:all:``) and ``--only-final`` (second)."""

    def with_all_releases(self, value: str) -> ReleaseControl:
        """After one more ``--all-releases``.

        Raises:
            UsageError: The value is another option.
        """
        moved = self._moved(value, "--all-releases / --only-final", into_first=True)
        return ReleaseControl(*map(frozenset, moved))

    def with_only_final(self, value: str) -> ReleaseControl:
        """After one more ``--only-final``.

        Raises:
            UsageError: The value is another option.
        """
        moved = self._moved(value, "--all-releases / --only-final", into_first=False)
        return ReleaseControl(*map(frozenset, moved))

    def prereleases(self, project: NormalizedName) -> bool | None:
        """Whether pre-releases of the project may be used; None as PEP 440 says."""
        return {1: True, 2: False, None: None}[self._side(project)]


@dataclass(frozen=True)
class ResolveOptions:
    """pip's options that concern choosing.

    What a requirements file may say too is joined with it by ``ResolveInput.options``.

    Attributes:
        upgrade: ``-U``: newer versions of what the user names.
        upgrade_strategy: With ``-U``: ``only-if-needed`` keeps the dependencies that will do,
            ``eager`` upgrades them too.
        prereleases: ``--pre``.
        no_deps: ``--no-deps``.
        only_deps: ``--only-deps``: what the named need, without these.
        require_hashes: ``--require-hashes``.
        ignore_installed: ``-I``, and what ``download`` and ``--target`` do: as if nothing were
            installed.
        force_reinstall: ``--force-reinstall``.
        ignore_requires_python: ``--ignore-requires-python``.
        uploaded_prior_to: ``--uploaded-prior-to``: no signed file of that moment or later.
        formats: ``--no-binary`` and ``--only-binary``.
        prefer_binary: ``--prefer-binary``.
        releases: ``--all-releases`` and ``--only-final``.
        allow_older_releases: ``--allow-older-releases``: of what the user names, too, an older
            release is taken where the newest needs something that nobody signs.
        no_index: ``--no-index``: nothing is asked of the verified index.
        find_links: ``--find-links``: folders, files and pages of links on this machine.
        locked_files: The files on this machine that lock files name.
        own_indexes: The indexes in folders of this machine that the user names, and that stand for
            no trusted repository: the user's own, as ``find_links`` are.
        config_settings: ``--config-settings`` of the command line, for all that the user names.
        downloads: The folder of ``download``. A file that lies there already, and has the hash that
            the user names with an address, is taken instead of what is at the address.
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
    """Fetches what the user named by address and hash."""

    def __call__(self, url: str, hashes: frozenset[str]) -> Path:
        """Where the file is now, its hash compared before anything else could read it.

        Args:
            url: The address, without fragment.
            hashes: The hashes that it may have, ``sha256:…``, ``sha384:…`` or ``sha512:…``.

        Raises:
            VerificationError: It has another hash.
            TransportError: It could not be fetched.
        """


class SdistMetadata(Protocol):
    """Runs the build backend of a source distribution or of a folder to learn its metadata."""

    def __call__(
        self,
        project: NormalizedName | None,
        file: AnyFile,
        config_settings: ConfigSettings | None = None,
    ) -> bytes:
        """The METADATA that the wheel built from ``file`` will have.

        The implementation fetches a signed file from the verified index, and hashes a user's file
        again, before it runs anything of it.

        Args:
            project: The project, or None when only the metadata will say what the user named.
            file: A file of a verified page, or the user's own file or folder. Never a wheel.
            config_settings: ``--config-settings`` for this build.

        Raises:
            SecurepipError: It could not be fetched, verified or built. This ends the resolution,
                as a build that fails does in pip.
        """
