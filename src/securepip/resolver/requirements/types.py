"""The types of what the user asks for: requirements, constraints, hashes, and options in files."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from packaging.markers import Marker
from packaging.requirements import Requirement
from packaging.utils import NormalizedName, canonicalize_name

from securepip.resolver.options import ConfigSettings, ResolveOptions
from securepip.resolver.requirements.links import STRONG_HASHES, UserLink


@dataclass(frozen=True)
class UserRequirement:
    """One requirement, or one constraint, of the user's.

    Attributes:
        requirement: The parsed requirement. None for a path or URL that does not name its project.
        source: Where it is written, in pip's form: ``-r FILE (line 3)``; "" for the command line.
        hashes: The hashes that its file may have, ``sha256:…``; empty if the user gave none.
        text: The requirement as it is written.
        link: The path or URL that it names.
        editable: Whether it was given with ``-e``.
        extras: The extras that are asked for.
        marker: The marker that says when it applies.
        config_settings: Its ``--config-settings``.
        by_user: False if it is a dependency of one of the user's own distributions.
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
        """The normalized name; None for a path or URL that does not name its project."""
        return None if self.requirement is None else canonicalize_name(self.requirement.name)

    @property
    def acceptable(self) -> frozenset[str]:
        """The hashes that the file at its link may have: those of ``--hash``, and the URL's."""
        own = {self.link.hash} if self.link is not None and self.link.hash else set()
        known = self.hashes | own
        # One matching hash is enough. So if there is a strong one, weak ones (md5) do not count:
        # an attacker could make another file with the same weak hash.
        strong = {one for one in known if one.partition(":")[0] in STRONG_HASHES}
        return frozenset(strong) or known


@dataclass(frozen=True)
class FileOptions:
    """The options in requirements files, in their order.

    Attributes:
        index_url: The last ``--index-url``; None if there is none.
        extra_index_urls: ``--extra-index-url``.
        no_index: ``--no-index``.
        find_links: ``--find-links``; a path relative to its file is made absolute.
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
    """Everything that the user asks for, in the order in which it is resolved.

    Attributes:
        requirements: What to install.
        constraints: Which versions of projects may be installed, if something requires them.
        prereleases: Whether a file has ``--pre``.
        require_hashes: Whether every distribution needs a hash: because a file says so, or because
            one requirement or constraint has a hash.
        file_options: The options in the files. The caller honours those about the network and
            indexes; ``options`` returns those about choosing.
    """

    requirements: tuple[UserRequirement, ...] = ()
    constraints: tuple[UserRequirement, ...] = ()
    prereleases: bool = False
    require_hashes: bool = False
    file_options: FileOptions = FileOptions()

    def options(self, given: ResolveOptions) -> ResolveOptions:
        """The options about choosing: the command line's, and those of files.

        Args:
            given: The command line's.

        Raises:
            UsageError: The value of a format or release option looks like an option.
        """
        formats, releases, files = given.formats, given.releases, self.file_options
        for option, value in files.formats:
            no_binary = option == "--no-binary"
            formats = (formats.with_no_binary if no_binary else formats.with_only_binary)(value)
        for option, value in files.releases:
            final = option == "--only-final"
            releases = (releases.with_only_final if final else releases.with_all_releases)(value)
        return replace(
            given,
            require_hashes=given.require_hashes or self.require_hashes,
            formats=formats,
            releases=releases,
            prefer_binary=given.prefer_binary or files.prefer_binary,
            no_index=given.no_index or files.no_index,
            find_links=(*given.find_links, *files.find_links),
        )
