"""The requests of ``install``, ``download`` and ``lock``: what their command lines ask for.

``parser`` makes one from a command line; a caller from Python makes one itself. Either passes it to
``run`` of the command's module. The defaults are pip's.

These classes are defined at every start, and a frozen dataclass takes five times as long to define
as a ``NamedTuple``, so classes without subclasses are ``NamedTuple``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import ClassVar, Literal, NamedTuple

from securepip.cli.options import Network

Pairs = tuple[tuple[str, str], ...]
"""Pairs of texts, such as an option and its value, in the order of the command line."""


class Named(NamedTuple):
    """What the command line names, in pip's forms.

    Attributes:
        words: The arguments: requirements, files, folders and addresses.
        requirements: ``-r``: requirements files and lock files, by path or address.
        constraints: ``-c``: constraints files, by path or address.
        editables: ``-e``: folders.
        groups: ``--group``: paths of ``pyproject.toml`` files, each with the name of a group.
        scripts: ``--requirements-from-script``: paths of scripts.
        config_settings: ``--config-settings``, for the builds of what the command line names.
        require_hashes: Every requirement must have a hash.
        no_require_hashes: A hash on one requirement does not make hashes required for all.
    """

    words: tuple[str, ...] = ()
    requirements: tuple[str, ...] = ()
    constraints: tuple[str, ...] = ()
    editables: tuple[str, ...] = ()
    groups: Pairs = ()
    scripts: tuple[str, ...] = ()
    config_settings: Mapping[str, str | list[str]] | None = None
    require_hashes: bool = False
    no_require_hashes: bool = False


class Choosing(NamedTuple):
    """How releases and files are chosen.

    Attributes:
        prereleases: ``--pre``.
        no_deps: ``--no-deps``: choose no dependencies.
        only_deps: ``--only-dependencies``: choose the dependencies of what is named, but not the
            named projects.
        ignore_requires_python: Also take releases that do not support the target's Python.
        uploaded_prior_to: Only take files that were uploaded before this moment.
        formats: ``--no-binary`` and ``--only-binary``, each with its value.
        releases: ``--all-releases`` and ``--only-final``, each with its value.
        prefer_binary: Prefer an older wheel to a newer source distribution.
        allow_older_releases: Also for named projects, take an older release where the newest
            requires something that no trusted repository has signed.
    """

    prereleases: bool = False
    no_deps: bool = False
    only_deps: bool = False
    ignore_requires_python: bool = False
    uploaded_prior_to: datetime | None = None
    formats: Pairs = ()
    releases: Pairs = ()
    prefer_binary: bool = False
    allow_older_releases: bool = False


class Target(NamedTuple):
    """The target environment.

    Attributes:
        python: Its interpreter or folder; None for securepip's own.
        require_virtualenv: Refuse an environment that is not virtual.
        platforms: Choose wheels for these platforms.
        python_version: Choose releases for this Python, for example ``(3, 12)``.
        implementation: Choose wheels for this implementation, for example ``cp``.
        abis: Choose wheels for these ABIs.
    """

    python: str | None = None
    require_virtualenv: bool = False
    platforms: tuple[str, ...] = ()
    python_version: tuple[int, ...] | None = None
    implementation: str | None = None
    abis: tuple[str, ...] = ()

    @property
    def is_overridden(self) -> bool:
        """Whether the options name another target than the interpreter itself."""
        return bool(self.platforms or self.python_version or self.implementation or self.abis)


class Places(NamedTuple):
    """Where to look for files.

    Attributes:
        repository: Use only this one of the trusted repositories.
        read_only_state: Work on a copy of the stored state of the repositories.
        index_url: The URL of an index that stands for a trusted repository, or the user's own
            folder.
        extra_index_urls: Further ones.
        no_index: Use no repository, only ``find_links``.
        find_links: Folders, files and pages of links on this machine.
        configured: The index URLs of pip's configuration: the first, perhaps "", then the extra
            ones.
        named_by_environment: The options and values in the target's own ``pip.conf`` that name
            indexes or links. They are not obeyed, because whoever can write to an environment must
            not decide which index is asked; the user is told of them.
        refresh: ``--refresh-package``, each with its value.
    """

    repository: str | None = None
    read_only_state: bool = False
    index_url: str | None = None
    extra_index_urls: tuple[str, ...] = ()
    no_index: bool = False
    find_links: tuple[str, ...] = ()
    configured: tuple[str, ...] = ("",)
    named_by_environment: Pairs = ()
    refresh: Pairs = ()


class Builds(NamedTuple):
    """How source distributions and folders are built.

    Attributes:
        isolated: Build in an environment that is made for each build.
        check_dependencies: Without isolation, check that the build requirements are installed.
        constraints: Constraints files for build requirements.
        keep: Do not delete the folders of builds.
    """

    isolated: bool = True
    check_dependencies: bool = False
    constraints: tuple[str, ...] = ()
    keep: bool = False


@dataclass(frozen=True)
class PipRequest:
    """The fields that the requests of all three commands have.

    Attributes:
        named: What the command line names.
        choosing: How releases and files are chosen.
        target: For which environment.
        places: Where to look for files.
        builds: How source distributions are built.
        network: How servers are reached.
        cache: ``--cache-dir``; None for the default.
        no_cache: ``--no-cache-dir``.
        progress_bar: ``auto``, ``on``, ``off`` or ``raw``.
        features: ``--use-feature``.
        deprecated: ``--use-deprecated``.
    """

    command: ClassVar[str]
    """The name of the command, for messages."""

    named: Named = field(default_factory=Named)
    choosing: Choosing = field(default_factory=Choosing)
    target: Target = field(default_factory=Target)
    places: Places = field(default_factory=Places)
    builds: Builds = field(default_factory=Builds)
    network: Network = field(default_factory=Network)
    cache: str | None = None
    no_cache: bool = False
    progress_bar: str = "auto"
    features: tuple[str, ...] = ()
    deprecated: tuple[str, ...] = ()


class Destination(NamedTuple):
    """Where an install puts its files, if not into the environment itself.

    Attributes:
        user: True for ``--user``, False for ``--no-user``, None for neither.
        folder: ``--target``.
        prefix: ``--prefix``.
        root: ``--root``.
    """

    user: bool | None = None
    folder: str | None = None
    prefix: str | None = None
    root: str | None = None


@dataclass(frozen=True)
class InstallRequest(PipRequest):
    """``securepip install``.

    Attributes:
        destination: Where the files go.
        dry_run: Only print what would be installed.
        report: The path of the installation report, as JSON; ``-`` is standard output.
        upgrade: Take newer versions of what is named.
        upgrade_strategy: Whether dependencies are always upgraded too, or only where needed.
        force_reinstall: Install again what is installed already.
        ignore_installed: Ignore what is installed, and install over it.
        compile: Compile to byte code.
        break_system_packages: Install even where the operating system manages the packages.
        warn_script_location: Warn of scripts outside ``PATH``.
        warn_conflicts: Warn of installed packages whose requirements are no longer met.
        root_user_action: ``warn`` or ``ignore``: what to do when run as root.
    """

    command: ClassVar[str] = "install"

    destination: Destination = field(default_factory=Destination)
    dry_run: bool = False
    report: str | None = None
    upgrade: bool = False
    upgrade_strategy: Literal["only-if-needed", "eager"] = "only-if-needed"
    force_reinstall: bool = False
    ignore_installed: bool = False
    compile: bool = True
    break_system_packages: bool = False
    warn_script_location: bool = True
    warn_conflicts: bool = True
    root_user_action: str = "warn"


@dataclass(frozen=True)
class DownloadRequest(PipRequest):
    """``securepip download``.

    Attributes:
        folder: The folder that the files are saved in.
    """

    command: ClassVar[str] = "download"

    folder: str = "."


@dataclass(frozen=True)
class LockRequest(PipRequest):
    """``securepip lock``.

    Attributes:
        output: The path of the lock file; ``-`` is standard output.
    """

    command: ClassVar[str] = "lock"

    output: str = "pylock.toml"


AnyRequest = InstallRequest | DownloadRequest | LockRequest
