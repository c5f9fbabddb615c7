"""What ``install``, ``download`` and ``lock`` share: check a request, and open what answers it."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from securepip.cli import console
from securepip.cli.console.progress import Display
from securepip.cli.options import READ_ONLY_STATE
from securepip.cli.pip_commands.checks import check
from securepip.cli.pip_commands.inputs.addresses import Addresses
from securepip.cli.pip_commands.inputs.choosing import resolve_options
from securepip.cli.pip_commands.inputs.indexes import Indexes
from securepip.cli.pip_commands.options import variables_of_others
from securepip.cli.pip_commands.requests import InstallRequest, PipRequest, Places, Target
from securepip.errors import SecurepipError

if TYPE_CHECKING:
    from packaging.utils import NormalizedName

    from securepip.formats.page import PageFile
    from securepip.index import AnyFile, DeferredIndex, VerifiedIndex
    from securepip.installer import ByteCodeCache, SdistBuilder
    from securepip.lock import Locked
    from securepip.resolver import (
        ConfigSettings,
        FetchDirect,
        ResolveInput,
        ResolveOptions,
        TargetEnvironment,
    )
    from securepip.resolver.plan import Plan


@dataclass(frozen=True)
class Prepared:
    """A checked request, in the types of the other rooms, with the objects that answer it.

    Attributes:
        given: The requirements and constraints, and the options of requirements files.
        options: How to choose, as far as all three commands do it in the same way.
        environment: The target.
        index: The verified index; it is opened at the first question.
        open_builder: Returns the builder of source distributions and folders, always the same one.
        open_byte_code: Returns the cache of byte code, always the same one; None with
            ``--no-cache-dir``.
        fetch_direct: Fetches a distribution that is named by address and hash.
        locked: The contents of lock files, whose requirements are also in ``given``.
        display: The progress display; it is shown inside its ``with`` block.
    """

    given: ResolveInput
    options: ResolveOptions
    environment: TargetEnvironment
    index: DeferredIndex
    open_builder: Callable[[], SdistBuilder]
    open_byte_code: Callable[[], ByteCodeCache | None]
    fetch_direct: FetchDirect
    locked: Locked | None
    display: Display

    def resolve(self, **choices: Any) -> Plan:
        """Choose the releases and files to install.

        Args:
            choices: Fields of ``ResolveOptions`` that the command sets.

        Raises:
            SecurepipError: As ``resolver.resolve``.
        """
        from securepip import resolver

        options = replace(self.options, **choices)
        if self.locked is not None:
            options = replace(options, locked_files=self.locked.places)
            asked, choosing = self.given.requirements, self.given.options(options)
            self.locked.check(choosing, asked, self.environment, self.index)
        with self.display:
            return resolver.resolve(
                self.given, self.environment, self.index, options, self._metadata, self.fetch_direct
            )

    def _metadata(
        self,
        project: NormalizedName | None,
        file: AnyFile,
        config_settings: ConfigSettings | None = None,
    ) -> bytes:
        return self.open_builder()(project, file, config_settings)

    def report(self, plan: Plan) -> str:
        """The installation report of the plan, as JSON."""
        from securepip.cli.pip_commands.report import make_report
        from securepip.explain import explain

        def explained(project: NormalizedName, file: PageFile) -> dict[str, object]:
            return explain(self.index.opened(), project, file).to_json()

        return make_report(plan.as_chosen, self.environment, self.index.signed_by, explained)


def prepare(
    request: PipRequest, stack: ExitStack, answer: Callable[[], bytes | None] | None = None
) -> Prepared:
    """Check a request, and read the files that it names.

    Args:
        request: What the command line asks for.
        stack: Closes what is opened here.
        answer: Returns the facts about the target's interpreter, where it was asked for them
            already.

    Raises:
        SecurepipError: The request contradicts itself, or something that it names cannot be read
            or honoured.
    """
    from securepip.cli.pip_commands.inputs import given as inputs
    from securepip.index import DeferredIndex
    from securepip.resolver import FileOptions

    check(request)
    environment = _probe(request.target, answer)
    _say_which_pip(environment)
    folder = _cache_folder(request, stack)
    # This one reads files at addresses; the options for indexes in those files are not known yet.
    read_url = Addresses(request.network, Indexes(request.places, FileOptions())).read
    locked = inputs.read_lock_files(request, environment, read_url)
    given = inputs.read_given(request, environment, locked, read_url)
    addresses = Addresses(request.network, Indexes(request.places, given.file_options))
    indexes = addresses.indexes
    choosing = replace(
        resolve_options(request),
        own_indexes=indexes.own,
        no_index=not indexes.ask_repositories,
    )
    constraints = inputs.read_build_constraints(request.builds.constraints, read_url)
    display = Display(request.progress_bar)
    installs = isinstance(request, InstallRequest) and not request.dry_run
    index = DeferredIndex(
        lambda first: _open_index(
            request.places, addresses, folder, stack, display, first, installs=installs
        )
    )
    indexes.say_where()

    @cache
    def open_byte_code() -> ByteCodeCache | None:
        from securepip.installer import ByteCodeCache

        return None if request.no_cache else ByteCodeCache(folder / "byte-code")

    @cache
    def open_builder() -> SdistBuilder:
        from securepip.installer import BuildOptions, SdistBuilder, WheelCache

        options = BuildOptions(
            isolated=request.builds.isolated,
            check_dependencies=request.builds.check_dependencies,
            constraints=constraints,
            choosing=given.options(choosing),
            editable=isinstance(request, InstallRequest),
            keep=request.builds.keep,
            variables=variables_of_others(os.environ),
        )
        kept = WheelCache(folder / "wheels")
        return stack.enter_context(
            SdistBuilder(index, environment, kept, options, open_byte_code())
        )

    return Prepared(
        given,
        choosing,
        environment,
        index,
        open_builder,
        open_byte_code,
        lambda url, hashes: addresses.fetch(url, hashes, stack),
        locked,
        display,
    )


def _say_which_pip(environment: TargetEnvironment) -> None:
    """With ``--verbose``, print which pip installs the files, and for which Python version."""
    if not console.is_verbose():
        return
    from importlib.metadata import version

    from securepip.interpreter.process import pip_runner

    python = f"{environment.version.major}.{environment.version.minor}"
    console.say(f"Using pip {version('pip')} from {pip_runner().parent} (python {python})")


def _probe(target: Target, answer: Callable[[], bytes | None] | None) -> TargetEnvironment:
    """The target: the environment of ``--python``, changed by ``--platform`` and similar options.

    Raises:
        UsageError: There is no such interpreter.
        SecurepipError: ``--require-virtualenv`` is given, and it is no virtual environment.
    """
    from securepip import resolver

    environment = resolver.probe(target.python, answer)
    if target.require_virtualenv and not _is_virtual(environment.python):
        raise SecurepipError("Could not find an activated virtualenv (required).")
    if not target.is_overridden:
        return environment
    from securepip.resolver.environment.override import overridden

    return overridden(
        environment,
        platforms=target.platforms,
        python_version=target.python_version,
        implementation=target.implementation,
        abis=target.abis,
    )


def _is_virtual(python: Path) -> bool:
    return any(
        (folder / "pyvenv.cfg").is_file() for folder in (python.parent, python.parent.parent)
    )


def _cache_folder(request: PipRequest, stack: ExitStack) -> Path:
    """The cache folder; with ``--no-cache-dir``, one that is deleted at the end."""
    from securepip.dirs import temporary_folder, usable_cache

    if request.no_cache:
        return Path(stack.enter_context(temporary_folder()))
    return usable_cache(stack, request.cache and str(Path(request.cache, "securepip")))


def _open_index(
    places: Places,
    addresses: Addresses,
    cache: Path,
    stack: ExitStack,
    display: Display,
    first: Sequence[NormalizedName],
    *,
    installs: bool,
) -> VerifiedIndex:
    """Open the verified index over the trusted repositories; ``stack`` closes its connections.

    The requests for the projects in ``first`` are sent before the index is imported, to save time.

    Raises:
        UntrustedError: An index is named that stands for no trusted repository.
    """
    from securepip.dirs import temporary_folder
    from securepip.index import ahead
    from securepip.trust import TrustStore

    store = TrustStore.of_user()
    trust = store.read()
    if trust.any_index is not None:
        from securepip.first_use.setup import protect_named

        trust = protect_named(addresses.indexes.addresses, store, addresses.trusted_hosts)
    if places.repository is not None:
        trust = trust.only(places.repository)
    if places.read_only_state:
        console.warn(READ_ONLY_STATE)
        trust = trust.with_state_copied_to(Path(stack.enter_context(temporary_folder())))
    trust = addresses.indexes.limited(trust)
    transport = stack.enter_context(addresses.connect(trust.addresses))
    ahead.begin(trust, transport, first)
    from securepip.first_use import open_signers
    from securepip.index import Store, VerifiedIndex

    files = Store(cache / "store")
    display.watch(transport.traffic)
    refresh = _refreshed(places)
    signers = stack.enter_context(open_signers(transport.options, files, console.say, refresh))(
        trust
    )
    index = VerifiedIndex(trust, transport, files, signers, display, installs=installs)
    stack.callback(index.close)
    return index


def _refreshed(places: Places) -> Callable[[NormalizedName], bool]:
    """A test whether ``--refresh-package`` names a project, with its values read as pip does."""
    from packaging.utils import canonicalize_name

    everything, named = False, set[str]()
    for word in (word for _, value in places.refresh for word in value.split(",")):
        if word in (":all:", ":none:"):
            everything = word == ":all:"
            named.clear()
        else:
            named.add(canonicalize_name(word))
    return lambda project: everything or project in named
