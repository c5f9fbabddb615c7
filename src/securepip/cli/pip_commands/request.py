"""What ``install`` and ``download`` have in common: from options to the inputs of the rooms.

Rule: only words are turned into types here. Which combinations are refused, and in which words,
is as in pip.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from securepip.cli import console
from securepip.cli.options import transport_from
from securepip.cli.pip_commands import indexes
from securepip.cli.pip_commands.configuration import variables_of_others
from securepip.errors import SecurepipError, TransportError, VerificationError
from securepip.formats.digests import CHUNK

if TYPE_CHECKING:
    from securepip.index import DeferredIndex, VerifiedFile, VerifiedIndex
    from securepip.installer import SdistBuilder
    from securepip.lock import Locked
    from securepip.resolver import (
        FetchDirect,
        ResolveInput,
        ResolveOptions,
        TargetEnvironment,
        UserRequirement,
    )
    from securepip.resolver.plan import Plan
    from securepip.resolver.requirements.types import FileOptions
    from securepip.transport import Transport
    from securepip.trust import Trust

_MAX_REQUIREMENTS_BYTES = 64 << 20
# Those that pip warns of; the others are how securepip works, too.
_ALWAYS_ENABLED = frozenset({"truststore", "no-binary-enable-wheel-cache", "build-constraint"})
_MAX_DISTRIBUTION_BYTES = 16 << 30


def check(arguments: argparse.Namespace, command: str) -> None:
    """Refuse the combinations of options that pip refuses.

    Raises:
        SecurepipError: Two options contradict each other.
    """
    _check_only_deps(arguments)
    if arguments.build_constraints and not arguments.build_isolation:
        raise SecurepipError("--build-constraint cannot be used with --no-build-isolation.")
    if arguments.pre and arguments.release_control:
        raise SecurepipError("--pre cannot be used with --all-releases or --only-final.")
    if arguments.require_hashes and arguments.no_require_hashes:
        raise SecurepipError("--require-hashes and --no-require-hashes are mutually exclusive")
    always = sorted(_ALWAYS_ENABLED & set(arguments.features_enabled))
    if always:
        console.warn(f"The following features are always enabled: {', '.join(always)}. ")
    if _overrides_target(arguments):
        _check_target(arguments, command)
    if len(arguments.requirements_from_scripts) > 1:
        raise SecurepipError("--requirements-from-script can only be given once")
    if not (
        arguments.arguments
        or arguments.editables
        or arguments.requirements
        or arguments.dependency_groups
        or arguments.requirements_from_scripts
    ):
        links = " ".join(arguments.find_links)
        hint = (
            f'(maybe you meant "securepip {command} {links}"?)'
            if links
            else f'(see "securepip {command} --help")'
        )
        raise SecurepipError(f"You must give at least one requirement to {command} {hint}")


@dataclass(frozen=True)
class Request:
    """What a command line asks for, in the types of the rooms, and what answers it.

    Attributes:
        arguments: The command line.
        given: What to install, and what requirements files say.
        options: How to choose, as far as every command decides it alike.
        environment: The target.
        index: The verified index; nothing is opened before the first question.
        builder: Builds what is no wheel.
        fetch_direct: Fetches what is named by address and hash.
        locked: What lock files ask for, which is also among what is given.
    """

    arguments: argparse.Namespace
    given: ResolveInput
    options: ResolveOptions
    environment: TargetEnvironment
    index: DeferredIndex
    builder: SdistBuilder
    fetch_direct: FetchDirect
    locked: Locked | None = None

    def resolve(self, **choices: Any) -> Plan:
        """Choose what is to be installed.

        Args:
            choices: Fields of ``ResolveOptions`` that the command decides.

        Raises:
            SecurepipError: As ``resolver.resolve``.
        """
        from securepip import resolver

        options = replace(self.options, **choices)
        if self.locked is not None:
            options = replace(options, locked_files=self.locked.places)
            asked, choosing = self.given.requirements, self.given.options(options)
            self.locked.check(choosing, asked, self.environment, self.index)
        return resolver.resolve(
            self.given, self.environment, self.index, options, self.builder, self.fetch_direct
        )

    def report(self, plan: Plan) -> str:
        """The installation report of the plan, as JSON."""
        from securepip.cli.pip_commands.report import make_report

        return make_report(plan.as_chosen, self.environment, self.index.signed_by)


def prepare(arguments: argparse.Namespace, command: str, stack: ExitStack) -> Request:
    """Check the command line and read what it names.

    Args:
        arguments: The command line.
        command: ``install`` or ``download``.
        stack: Closes what is opened.

    Raises:
        SecurepipError: The command line contradicts itself, or something that it names cannot be
            read or honoured.
    """
    from securepip.index import DeferredIndex
    from securepip.installer import BuildOptions, SdistBuilder

    check(arguments, command)
    environment = target(arguments)
    if arguments.verbose:
        _say_which_pip(environment)
    cache = cache_folder(arguments, stack)
    locked = _read_locks(arguments, environment)
    given = read(arguments, environment, locked)
    own = indexes.own_indexes(arguments, given.said)
    index = DeferredIndex(lambda: open_index(arguments, given.said, own, cache, stack))
    choosing = replace(
        resolve_options(arguments),
        own_indexes=own,
        no_index=not indexes.asks_repositories(arguments, given.said, own),
    )
    options = BuildOptions(
        isolated=bool(arguments.build_isolation),
        check_dependencies=arguments.check_build_deps,
        constraints=_build_constraints(arguments),
        choosing=given.options(choosing),
        editable=command == "install",
        keep=arguments.no_clean,
        variables=variables_of_others(os.environ),
    )
    builder = SdistBuilder(index, environment, cache / "wheels", options)
    indexes.say_where(arguments, given.said)
    stack.enter_context(builder)
    fetch = partial(_fetch_direct, arguments, given.said, stack)
    return Request(arguments, given, choosing, environment, index, builder, fetch, locked)


def _say_which_pip(environment: TargetEnvironment) -> None:
    """What will put the files where they belong, and on which Python, as pip says it."""
    from importlib.metadata import version

    from securepip.installer.target.process import pip_runner

    python = f"{environment.version.major}.{environment.version.minor}"
    console.say(f"Using pip {version('pip')} from {pip_runner().parent} (python {python})")


def _read_locks(arguments: argparse.Namespace, environment: TargetEnvironment) -> Locked | None:
    """What the lock files among the requirements files ask for; they are read no other way.

    Raises:
        SecurepipError: One cannot be read, or is not for the target.
    """
    # Its libraries are imported only where there may be one.
    if not any("pylock" in name for name in arguments.requirements):
        return None
    from securepip.lock import is_lock_file, read_locks

    names = [name for name in arguments.requirements if is_lock_file(name)]
    if not names:
        return None
    if _overrides_target(arguments):
        raise SecurepipError(
            "Platform and interpreter constraints using --python-version, --platform, --abi, or "
            "--implementation, are not supported when selecting requirements from "
            f"{names[0]!r}"
        )
    console.warn(
        "Using pylock.toml as a requirements source is an experimental feature, as in pip. It may "
        "be changed in a future release without prior warning."
    )
    return read_locks(names, environment, lambda url: _read_url(url, arguments))


def read(
    arguments: argparse.Namespace, environment: TargetEnvironment, locked: Locked | None
) -> ResolveInput:
    """What is asked for: words, groups, editables, locks, files and scripts, as pip orders them.

    Raises:
        SecurepipError: Something of it cannot be read, or cannot be honoured.
    """
    from securepip import resolver
    from securepip.cli.pip_commands.requirement_sources import read_groups, read_script

    groups = [resolver.parse_requirement(one) for one in read_groups(arguments.dependency_groups)]
    given = resolver.read_requirements(
        arguments.arguments,
        [name for name in arguments.requirements if locked is None or name not in locked.names],
        arguments.constraints,
        editables=arguments.editables,
        more=[*groups, *(locked.requirements if locked is not None else ())],
        config_settings=getattr(arguments, "config_settings", None),
        no_require_hashes=arguments.no_require_hashes,
        read_url=lambda url: _read_url(url, arguments),
    )
    for script in arguments.requirements_from_scripts:
        wanted = read_script(script, environment, bool(arguments.ignore_requires_python))
        asked = tuple(resolver.parse_requirement(text) for text in wanted)
        given = replace(given, requirements=(*given.requirements, *asked))
    return given


def _build_constraints(arguments: argparse.Namespace) -> tuple[UserRequirement, ...]:
    from securepip import resolver

    return resolver.read_requirements(
        constraint_files=arguments.build_constraints,
        read_url=lambda url: _read_url(url, arguments),
    ).constraints


def _fetch_direct(
    arguments: argparse.Namespace,
    said: FileOptions,
    stack: ExitStack,
    url: str,
    hashes: frozenset[str],
) -> Path:
    """Fetch what the user named by address and hash; see ``FetchDirect``."""
    from securepip.transport import redact

    folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="securepip-"))
    path = Path(folder, "direct")
    with _transport(arguments, said) as transport, path.open("xb") as stream:
        transport.download(url, stream, max_bytes=_MAX_DISTRIBUTION_BYTES)
    found = set()
    for algorithm in {one.partition(":")[0] for one in hashes}:
        with path.open("rb") as stream:
            found.add(f"{algorithm}:{_digest(stream, algorithm)}")
    if not found & hashes:
        raise VerificationError(
            f"{redact(url)} does not have the hash that you named",
            meaning=f"Expected {' or '.join(sorted(hashes))}\n     Got {', '.join(sorted(found))}",
            remedy="Nothing was installed. Ask whoever gave you the hash what changed.",
        )
    return path


def _digest(stream: BinaryIO, algorithm: str) -> str:
    digest = hashlib.new(algorithm)
    while chunk := stream.read(CHUNK):
        digest.update(chunk)
    return digest.hexdigest()


def _read_url(url: str, arguments: argparse.Namespace) -> bytes:
    """A requirements file at an address that the user names: theirs to judge, like one on disk."""
    from securepip.resolver.requirements.types import FileOptions

    with _transport(arguments, FileOptions()) as transport:
        try:
            return transport.get(url, max_bytes=_MAX_REQUIREMENTS_BYTES).body
        except TransportError as error:
            if error.status is not None:
                raise
            # The word by which pip's users find this.
            raise TransportError(
                f"connection-failed: {error.what}", url=error.url, remedy=error.remedy
            ) from None


def resolve_options(arguments: argparse.Namespace) -> ResolveOptions:
    """The options that concern choosing."""
    from securepip.resolver import ResolveOptions
    from securepip.resolver.options import FormatControl, ReleaseControl

    formats, releases = FormatControl(), ReleaseControl()
    for option, value in arguments.format_control:
        add = formats.with_no_binary if option == "--no-binary" else formats.with_only_binary
        formats = add(value)
    for option, value in arguments.release_control:
        all_of = option == "--all-releases"
        releases = (releases.with_all_releases if all_of else releases.with_only_final)(value)
    return ResolveOptions(
        prereleases=arguments.pre,
        no_deps=arguments.ignore_dependencies,
        only_deps=arguments.only_dependencies,
        require_hashes=arguments.require_hashes,
        ignore_requires_python=bool(arguments.ignore_requires_python),
        uploaded_prior_to=arguments.uploaded_prior_to,
        formats=formats,
        releases=releases,
        prefer_binary=arguments.prefer_binary,
        find_links=tuple(arguments.find_links),
    )


def target(arguments: argparse.Namespace) -> TargetEnvironment:
    """The environment to choose for: that of ``--python``, changed by ``--platform`` and the like.

    Raises:
        UsageError: There is no such interpreter.
        SecurepipError: It is no virtual environment, and ``--require-virtualenv`` wants one.
    """
    from securepip import resolver

    environment = resolver.probe(arguments.python)
    if arguments.require_venv and not _is_virtual(environment.python):
        raise SecurepipError("Could not find an activated virtualenv (required).")
    if not _overrides_target(arguments):
        return environment
    from securepip.resolver.environment.override import overridden

    return overridden(
        environment,
        platforms=arguments.platforms or (),
        python_version=arguments.python_version,
        implementation=arguments.implementation,
        abis=arguments.abis or (),
    )


def cache_folder(arguments: argparse.Namespace, stack: ExitStack) -> Path:
    """Where what can be fetched again is kept; with ``--no-cache-dir`` only until the end."""
    from securepip.dirs import cache_dir

    if arguments.cache_dir is False:
        return Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="securepip-")))
    try:
        return cache_dir(arguments.cache_dir and os.path.join(arguments.cache_dir, "securepip"))  # noqa: PTH118 - it may be None
    except SecurepipError as error:
        # As pip: a cache that others may write to is no reason to fail, but it is not used.
        console.warn(f"{error}\nThe cache has been disabled.")
        return Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="securepip-")))


def open_index(
    arguments: argparse.Namespace,
    said: FileOptions,
    own: Sequence[str],
    cache: Path,
    stack: ExitStack,
) -> VerifiedIndex:
    """The index over whom this machine believes; its connections are closed with ``stack``.

    Args:
        arguments: The command line.
        said: What requirements files say of indexes.
        own: The indexes that are the user's own.
        cache: The folder of what can be fetched again.
        stack: Closes what is opened.

    Raises:
        UntrustedError: An index is named that stands for no trusted repository.
    """
    from securepip.dirs import data_dir
    from securepip.index import Store, VerifiedIndex
    from securepip.trust import TrustStore

    trust = TrustStore(data_dir() / "trust").read()
    if arguments.repository is not None:
        trust = trust.only(arguments.repository)
    trust = indexes.asked_of(trust, arguments, said, own)
    transport = stack.enter_context(_transport(arguments, said, trust))
    return VerifiedIndex(trust, transport, Store(cache / "store"))


def names(plan: Plan, *, as_written: bool = False) -> str:
    """``name-version`` of all that is planned, in pip's order.

    Args:
        plan: What is planned.
        as_written: With the names that the metadata writes, as pip does where it only would
            install.
    """
    from securepip.formats.core_metadata import parse_core_metadata

    return " ".join(
        sorted(
            f"{parse_core_metadata(one.core_metadata).name if as_written else one.name}"
            f"-{one.version}"
            for one in plan.install
        )
    )


def shown(path: Path) -> str:
    """A path as pip shows it: from here, where it is below."""
    try:
        return f".{os.sep}{path.relative_to(Path.cwd())}"
    except ValueError:
        return str(path)


def say_verified(files: Sequence[VerifiedFile]) -> None:
    """What was verified, and by whom it was signed; nothing when nothing was."""
    for file in files:
        console.say(f"  {file.filename} sha256:{file.sha256} from {file.url}", level=1)
    if files:
        size = sum(file.size for file in files)
        signers = ", ".join(sorted({file.repository for file in files}))
        what = "1 file" if len(files) == 1 else f"{len(files)} files"
        console.say(f"Verified {what} ({size / 1e6:.1f} MB), signed by {signers}")


def say_unsigned(plan: Plan) -> None:
    """Name the user's own file that was taken for a dependency instead of a signed one."""
    for planned in plan.install:
        if planned.beats_signed is not None:
            console.say(
                f"Using {planned.file.filename}, local and not signed, for {planned.project}; "
                f"{planned.beats_signed} is signed"
            )


def _check_only_deps(arguments: argparse.Namespace) -> None:
    conflicts = [
        text
        for text, given in (
            ("'--no-deps'", arguments.ignore_dependencies),
            ("'--requirement'", arguments.requirements),
            ("'--requirements-from-script'", arguments.requirements_from_scripts),
            ("'--group'", arguments.dependency_groups),
        )
        if given
    ]
    if arguments.only_dependencies and conflicts:
        if len(conflicts) > 1:
            conflicts[-1] = f"or {conflicts[-1]}"
        raise SecurepipError(
            f"Cannot use '--only-dependencies' in combination with {', '.join(conflicts)}."
        )


def _overrides_target(arguments: argparse.Namespace) -> bool:
    return bool(
        arguments.python_version
        or arguments.platforms
        or arguments.abis
        or arguments.implementation
    )


def _check_target(arguments: argparse.Namespace, command: str) -> None:
    """Another target is chosen for: nothing may be built, since only this machine can build."""
    formats = resolve_options(arguments).formats
    wheels_only = formats.second == {":all:"} and not formats.first
    if not (wheels_only or arguments.ignore_dependencies):
        raise SecurepipError(
            "When restricting platform and interpreter constraints using --python-version, "
            "--platform, --abi, or --implementation, either --no-deps must be set, or "
            "--only-binary=:all: must be set and --no-binary must not be set (or must be set to "
            ":none:)."
        )
    if command == "install" and not arguments.dry_run and not arguments.target_dir:
        raise SecurepipError(
            "Can not use any platform or abi specific options unless installing via '--target' "
            "or using '--dry-run'"
        )


def _is_virtual(python: Path) -> bool:
    return any(
        (folder / "pyvenv.cfg").is_file() for folder in (python.parent, python.parent.parent)
    )


def _transport(
    arguments: argparse.Namespace, said: FileOptions, trust: Trust | None = None
) -> Transport:
    believed = () if trust is None else trust.addresses
    named = (*indexes.named(arguments, said), *arguments.configured_indexes, *believed)
    return transport_from(arguments, named, said.trusted_hosts)
