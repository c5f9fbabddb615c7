"""``securepip install``: requirements → plan → verified files → pip."""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING

from securepip.cli import console
from securepip.cli.configuration import apply_configuration, read_pip_configuration
from securepip.cli.options import add_general_options, add_network_options, transport_from
from securepip.errors import SecurepipError

if TYPE_CHECKING:
    from pathlib import Path

    from securepip.index import VerifiedFile, VerifiedIndex
    from securepip.installer import HandOff, Pip
    from securepip.resolver import ResolveInput, TargetEnvironment
    from securepip.resolver.plan import Plan, SatisfiedRequirement

UNSAFE = "--unsafely-disable-package-verification"


def add_to(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add ``install``."""
    parser = commands.add_parser("install", help="install packages, verified", allow_abbrev=False)
    parser.add_argument("requirements", nargs="*", metavar="REQUIREMENT", help="as pip takes it")
    parser.add_argument(
        "-r", "--requirement", action="append", default=[], metavar="FILE",
        help="install what the requirements file names",
    )  # fmt: skip
    parser.add_argument(
        "-c", "--constraint", action="append", default=[], metavar="FILE",
        help="keep to the versions of the constraints file",
    )  # fmt: skip
    parser.add_argument(
        "--python", default=argparse.SUPPRESS, metavar="PYTHON",
        help="the interpreter, or environment, to install for",
    )  # fmt: skip
    parser.add_argument("-U", "--upgrade", action="store_true", help="newest versions of the named")
    parser.add_argument("--dry-run", action="store_true", help="only say what would be done")
    parser.add_argument("--no-deps", action="store_true", help="without dependencies")
    parser.add_argument("--pre", action="store_true", help="pre-releases too")
    parser.add_argument(
        "--require-hashes", action="store_true", help="every requirement has a hash"
    )
    parser.add_argument("--no-compile", action="store_true", help="no byte code")
    parser.add_argument(
        "--break-system-packages", action="store_true",
        help="also where the operating system manages the packages",
    )  # fmt: skip
    parser.add_argument(
        "--repository", metavar="NAME", help="ask only this one of the trusted repositories"
    )
    parser.add_argument(
        UNSAFE, dest="unsafe", action="store_true",
        help="install with plain pip, nothing verified",
    )  # fmt: skip
    add_network_options(parser)
    add_general_options(parser)
    parser.set_defaults(run=_install)


def configure(parser: argparse.ArgumentParser) -> None:
    """Take pip's configuration as the defaults of the parser's options."""
    apply_configuration(parser, read_pip_configuration("install"))


def _install(arguments: argparse.Namespace) -> int:
    if arguments.unsafe:
        return _plain_pip(arguments)
    from securepip import resolver
    from securepip.dirs import cache_dir
    from securepip.index import DeferredIndex
    from securepip.installer import SdistBuilder

    given = resolver.read_requirements(
        arguments.requirements, arguments.requirement, arguments.constraint
    )
    if not (arguments.requirements or arguments.requirement):
        raise SecurepipError("You must give at least one requirement to install")
    environment = resolver.probe(arguments.python)
    options = resolver.ResolveOptions(
        upgrade=arguments.upgrade,
        prereleases=arguments.pre,
        no_deps=arguments.no_deps,
        require_hashes=arguments.require_hashes,
    )
    with ExitStack() as pips, ExitStack() as stack:
        pip = _start_pip_early(arguments, given, environment, pips)
        index = DeferredIndex(lambda: _open_index(arguments, stack))
        builder = SdistBuilder(index, environment, cache_dir() / "wheels")
        plan = resolver.resolve(given, environment, index, options, builder)
        for satisfied in plan.satisfied:
            console.say(_satisfied_line(satisfied))
        if not plan.install:
            return 0
        if arguments.dry_run:
            console.say(f"Would install {_names(plan)}")
            return 0
        with console.progress("Fetching") as progress:
            files = index.fetch(plan.signed, progress)
        _say_verified(files)
        wheels = builder.wheels(plan, files)
        stack.close()
        return _hand_off(arguments, plan, wheels, environment.python, pip)


def _start_pip_early(
    arguments: argparse.Namespace,
    given: ResolveInput,
    environment: TargetEnvironment,
    stack: ExitStack,
) -> Pip | None:
    """Start pip for the target where it is plain by now that something has to be installed."""
    from packaging.utils import canonicalize_name

    from securepip.installer import Pip

    named = [one.requirement for one in given.requirements if one.marker is None]
    installed = environment.installed
    if arguments.dry_run or all(
        one is not None and canonicalize_name(one.name) in installed for one in named
    ):
        return None
    return stack.enter_context(Pip(environment.python))


def _open_index(arguments: argparse.Namespace, stack: ExitStack) -> VerifiedIndex:
    """The index over whom this machine believes; its connections are closed with ``stack``."""
    from securepip.dirs import cache_dir, data_dir
    from securepip.index import Store, VerifiedIndex
    from securepip.trust import TrustStore

    trust = TrustStore(data_dir() / "trust").read()
    if arguments.repository is not None:
        trust = trust.only(arguments.repository)
    transport = stack.enter_context(transport_from(arguments))
    return VerifiedIndex(trust, transport, Store(cache_dir() / "store"))


def _hand_off(
    arguments: argparse.Namespace,
    plan: Plan,
    wheels: Sequence[HandOff],
    python: Path,
    pip: Pip | None,
) -> int:
    from securepip.installer import InstallOptions, install

    console.say("Installing collected packages: " + ", ".join(one.project for one in plan.install))
    pip_arguments = ("--break-system-packages",) if arguments.break_system_packages else ()
    report = install(
        wheels,
        python,
        plan.satisfied,
        InstallOptions(
            compile=not arguments.no_compile,
            no_deps=arguments.no_deps,
            pip_arguments=pip_arguments,
        ),
        pip,
    )
    if report.warnings:
        print(report.warnings.rstrip(), file=sys.stderr)
    console.say(f"Successfully installed {_names(plan)}")
    return 0


def _satisfied_line(satisfied: SatisfiedRequirement) -> str:
    wanted_by = f" (from {satisfied.comes_from})" if satisfied.comes_from else ""
    return (
        f"Requirement already satisfied: {satisfied.requirement} in {satisfied.location}"
        f"{wanted_by} ({satisfied.version})"
    )


def _names(plan: Plan) -> str:
    """``name-version`` of all that is planned, in pip's order."""
    return " ".join(sorted(f"{one.project}-{one.version}" for one in plan.install))


def _say_verified(files: Sequence[VerifiedFile]) -> None:
    for file in files:
        console.say(f"  {file.filename} sha256:{file.sha256} from {file.url}", level=1)
    size = sum(file.size for file in files)
    signers = ", ".join(sorted({file.repository for file in files}))
    what = "1 file" if len(files) == 1 else f"{len(files)} files"
    console.say(f"Verified {what} ({size / 1e6:.1f} MB), signed by {signers}")


def _plain_pip(arguments: argparse.Namespace) -> int:
    """Run pip with the same command line: what the user asks for who switches verification off."""
    console.warn(
        "package verification is switched off: nothing that is installed now was checked.\n"
        f"Leave out {UNSAFE} to install verified packages.",
        always=True,
    )
    # pip wants it before the command.
    python = () if arguments.python is None else ("--python", arguments.python)
    command = [sys.executable, "-m", "pip", *python, *_words_for_pip(arguments.words)]
    return subprocess.run(command, check=False).returncode


def _words_for_pip(words: Sequence[str]) -> list[str]:
    """The command line without what pip does not know, or not in that place."""
    kept = []
    rest = iter(words)
    for word in rest:
        name, separator, _ = word.partition("=")
        if name in ("--python", "--repository"):
            if not separator:
                next(rest)
        elif word not in (UNSAFE, "--debug"):
            kept.append(word)
    return kept
