"""What the user asks for: requirements, constraints and hashes, from the command line and files."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from packaging.markers import Marker
from packaging.requirements import Requirement
from packaging.utils import NormalizedName, canonicalize_name

from securepip.resolver.options import ConfigSettings, ResolveOptions
from securepip.resolver.requirements.links import STRONG_HASHES, UserLink


@dataclass(frozen=True)
class UserRequirement:
    """One requirement, or one constraint, in the user's words.

    Attributes:
        requirement: What it says. None of a path or URL whose project only its metadata tells.
        source: Where it is written, as pip says it: ``-r FILE (line 3)``, "" for the command line.
        hashes: The digests its file may have, ``sha256:…``; empty when the user named none.
        text: As it is written, for messages.
        link: The path or URL it names.
        editable: ``-e``.
        extras: The extras that are asked for.
        marker: When it is meant.
        config_settings: ``--config-settings`` of this requirement.
        by_user: False when it is a dependency of a distribution of the user's.
    """

    requirement: Requirement | None
    source: str = ""
    hashes: frozenset[str] = frozenset()
    text: str = ""
    link: UserLink | None = None
    editable: bool = False
    extras: frozenset[NormalizedName] = frozenset()
    marker: Marker | None = None
    config_settings: ConfigSettings = field(default_factory=dict)
    by_user: bool = True

    @property
    def project(self) -> NormalizedName | None:
        """The normalized name; None of a path or URL that does not say it."""
        return None if self.requirement is None else canonicalize_name(self.requirement.name)

    @property
    def acceptable(self) -> frozenset[str]:
        """The hashes that what its link leads to may have: its own, and that in the URL."""
        own = {self.link.hash} if self.link is not None and self.link.hash else set()
        known = self.hashes | own
        # One hash is enough: where there is a strong one, a broken one must not be.
        strong = {one for one in known if one.partition(":")[0] in STRONG_HASHES}
        return frozenset(strong) or known


@dataclass(frozen=True)
class FileOptions:
    """What the option lines of requirements files say, in their order.

    Attributes:
        index_url: The last ``--index-url``, or None.
        extra_index_urls: ``--extra-index-url``.
        no_index: ``--no-index``.
        find_links: ``--find-links``, a path relative to its file made absolute.
        formats: ``--no-binary`` and ``--only-binary`` with their values.
        releases: ``--all-releases`` and ``--only-final`` with their values; ``--pre`` is the
            former with ``:all:``.
        prefer_binary: ``--prefer-binary``.
        require_hashes: ``--require-hashes``.
        trusted_hosts: ``--trusted-host``.
        features: ``--use-feature``.
    """

    index_url: str | None = None
    extra_index_urls: tuple[str, ...] = ()
    no_index: bool = False
    find_links: tuple[str, ...] = ()
    formats: tuple[tuple[str, str], ...] = ()
    releases: tuple[tuple[str, str], ...] = ()
    prefer_binary: bool = False
    require_hashes: bool = False
    trusted_hosts: tuple[str, ...] = ()
    features: tuple[str, ...] = ()


@dataclass(frozen=True)
class ResolveInput:
    """Everything that the user asks for, in the order that counts.

    Attributes:
        requirements: What to install.
        constraints: What versions may be installed of projects that something else asks for.
        prereleases: Whether a file says ``--pre``.
        require_hashes: Whether every distribution must have a hash: asked for in a file, or
            because one requirement or constraint has one.
        said: The option lines of the files. Those about the network and which index is asked are
            for the caller; those about choosing come back from ``options``.
    """

    requirements: tuple[UserRequirement, ...] = ()
    constraints: tuple[UserRequirement, ...] = ()
    prereleases: bool = False
    require_hashes: bool = False
    said: FileOptions = FileOptions()

    def options(self, given: ResolveOptions) -> ResolveOptions:
        """How to choose: what the command line says, and the files after it.

        Raises:
            UsageError: A format or release option has no value.
        """
        formats, releases, said = given.formats, given.releases, self.said
        for option, value in said.formats:
            no_binary = option == "--no-binary"
            formats = (formats.with_no_binary if no_binary else formats.with_only_binary)(value)
        for option, value in said.releases:
            final = option == "--only-final"
            releases = (releases.with_only_final if final else releases.with_all_releases)(value)
        return replace(
            given,
            require_hashes=given.require_hashes or self.require_hashes,
            formats=formats,
            releases=releases,
            prefer_binary=given.prefer_binary or said.prefer_binary,
            no_index=given.no_index or said.no_index,
            find_links=(*given.find_links, *said.find_links),
        )
