"""What ``install``, ``download`` and ``lock`` are asked for.

A command line is turned into one of these once (``parser``); a caller from Python makes one itself
and gives it to the ``run`` of the command's module. The defaults are pip's.

All of this is defined before anything can be done, and a frozen dataclass takes five times as long
to define as a tuple with names: what has no heirs is one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import ClassVar, Literal, NamedTuple

from securepip.cli.options import Network

Pairs = tuple[tuple[str, str], ...]
"""Two texts each, in the order in which they were given."""


class Named(NamedTuple):
    """What is named, in pip's forms.

    Attributes:
        words: Requirements, files, folders and addresses.
        requirements: ``-r``: requirements files and lock files, by path or address.
        constraints: ``-c``: constraints files, by path or address.
        editables: ``-e``: folders.
        groups: ``--group``: paths of ``pyproject.toml`` files, each with the name of a group.
        scripts: ``--requirements-from-script``: paths of scripts.
        config_settings: ``--config-settings`` for the builds of what is named.
        require_hashes: Every requirement must have a hash.
        no_require_hashes: One requirement with a hash does not mean that all need one.
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
        no_deps: Without dependencies.
        only_deps: The dependencies of what is named, and not what is named.
        ignore_requires_python: Releases that say they do not run on the target's Python, too.
        uploaded_prior_to: Only files that were uploaded before this moment.
        formats: ``--no-binary`` and ``--only-binary``, each with its value.
        releases: ``--all-releases`` and ``--only-final``, each with its value.
        prefer_binary: An older wheel rather than a newer source distribution.
        allow_older_releases: Of what is named, too, an older release where the newest needs
            something that no trusted repository has signed.
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
    """The environment that is chosen for.

    Attributes:
        python: Its interpreter or folder; None for securepip's own.
        require_virtualenv: Refuse one that is not virtual.
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
        """Whether another target than the interpreter itself is chosen for."""
        return bool(self.platforms or self.python_version or self.implementation or self.abis)


class Places(NamedTuple):
    """Where is looked.

    Attributes:
        repository: Only this one of the trusted repositories.
        read_only_state: Work on a copy of what was seen of the repositories so far.
        index_url: An index that stands for a trusted repository, or the user's own folder.
        extra_index_urls: Further ones.
        no_index: No repository: only what ``find_links`` has.
        find_links: Folders, files and pages of links on this machine.
        configured: The index URLs of pip's configuration: the first, perhaps "", then the extra
            ones.
        named_by_environment: What the target's own ``pip.conf`` says of where distributions come
            from: options and values. An environment decides nothing about trust; it is only said.
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
        isolated: In an environment that is made for each build.
        check_dependencies: Without isolation: check that what builds need is there.
        constraints: Constraints files for what builds need.
        keep: Leave the folders of builds behind.
    """

    isolated: bool = True
    check_dependencies: bool = False
    constraints: tuple[str, ...] = ()
    keep: bool = False


@dataclass(frozen=True)
class PipRequest:
    """What the three commands have in common.

    Attributes:
        named: What is asked for.
        choosing: How it is chosen.
        target: For which environment.
        places: Where is looked.
        builds: How it is built.
        network: How servers are reached.
        cache: The folder of what can be fetched again, in pip's sense; None for the usual one.
        no_cache: Keep nothing of it.
        progress_bar: ``auto``, ``on``, ``off`` or ``raw``.
        features: ``--use-feature``.
        deprecated: ``--use-deprecated``.
    """

    command: ClassVar[str]

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
        user: True for ``--user``, False for ``--no-user``, None where neither is said.
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
        dry_run: Only say what would be installed.
        report: The path of a report of what was installed, as JSON; ``-`` is standard output.
        upgrade: Newer versions of what is named.
        upgrade_strategy: Whether dependencies are upgraded too, or only where needed.
        force_reinstall: Install again what is there already.
        ignore_installed: Do not look at what is installed, and install over it.
        compile: Compile to byte code.
        break_system_packages: Also where the operating system manages the packages.
        warn_script_location: Warn of scripts outside ``PATH``.
        warn_conflicts: Warn of installed packages that now lack something.
        root_user_action: ``warn`` or ``ignore``, when run as root.
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
        folder: Takes the files.
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
