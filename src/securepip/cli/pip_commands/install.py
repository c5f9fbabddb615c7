"""``securepip install``: requirements → plan → verified files → pip."""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from securepip.cli import console
from securepip.cli.pip_commands import request
from securepip.errors import SecurepipError

if TYPE_CHECKING:
    from securepip.installer import HandOff, InstallOptions, Pip
    from securepip.resolver import ResolveInput, TargetEnvironment
    from securepip.resolver.plan import Plan, SatisfiedRequirement

UNSAFE = "--unsafely-disable-package-verification"


def run(arguments: argparse.Namespace) -> int:
    """Run the command; return its exit code."""
    if arguments.unsafe:
        return plain_pip(arguments)
    _check(arguments)
    with ExitStack() as pips, ExitStack() as stack:
        asked = request.prepare(arguments, "install", stack)
        if arguments.use_user_site:
            from securepip.installer import check_user_site

            check_user_site(asked.environment.python)
        pip = _start_pip_early(arguments, asked.given, asked.environment, pips)
        plan = asked.resolve(
            ignore_installed=bool(arguments.ignore_installed or arguments.target_dir),
            force_reinstall=bool(arguments.force_reinstall),
            upgrade=bool(arguments.upgrade),
            upgrade_strategy=arguments.upgrade_strategy,
        )
        for satisfied in plan.satisfied:
            console.say(_satisfied_line(satisfied))
        request.say_unsigned(plan)
        if arguments.json_report_file:
            _write_report(arguments.json_report_file, asked.report(plan))
        if not plan.install:
            return 0
        if arguments.dry_run:
            console.say(f"Would install {request.names(plan, as_written=True)}")
            return 0
        with console.progress("Fetching", arguments.progress_bar) as progress:
            files = asked.index.fetch(plan.signed, progress)
        request.say_verified(files)
        wheels = asked.builder.wheels(plan, files)
        return _hand_off(arguments, plan, wheels, asked.environment.python, pip)


def _check(arguments: argparse.Namespace) -> None:
    if arguments.use_user_site and arguments.target_dir is not None:
        raise SecurepipError("Can not combine '--user' and '--target'")
    if arguments.use_user_site and arguments.prefix_path is not None:
        raise SecurepipError(
            "Can not combine '--user' and '--prefix' as they imply different installation locations"
        )
    if arguments.target_dir is not None:
        place = Path(arguments.target_dir)
        if place.exists() and not place.is_dir():
            raise SecurepipError("Target path exists but is not a directory, will not continue.")


def _start_pip_early(
    arguments: argparse.Namespace,
    given: ResolveInput,
    environment: TargetEnvironment,
    stack: ExitStack,
) -> Pip | None:
    """Start pip for the target where it is plain by now that something has to be installed."""
    from securepip.installer import Pip

    named = [one for one in given.requirements if one.marker is None and one.project is not None]
    if arguments.dry_run or all(one.project in environment.installed for one in named):
        return None
    return stack.enter_context(Pip(environment.python))


def _hand_off(
    arguments: argparse.Namespace,
    plan: Plan,
    wheels: Sequence[HandOff],
    python: Path,
    pip: Pip | None,
) -> int:
    from securepip.installer import install

    console.say("Installing collected packages: " + ", ".join(one.name for one in plan.install))
    report = install(wheels, python, plan.satisfied, _install_options(arguments), pip)
    for line in report.replaced:
        console.say(line)
    if report.warnings:
        print(report.warnings.rstrip(), file=sys.stderr)
    console.say(f"Successfully installed {request.names(plan)}")
    return 0


def _install_options(arguments: argparse.Namespace) -> InstallOptions:
    from securepip.installer import InstallOptions

    passed_on = {
        "--break-system-packages": arguments.override_externally_managed,
        "--no-user": arguments.use_user_site is False,
        "--ignore-installed": arguments.ignore_installed,
        "--force-reinstall": arguments.force_reinstall,
        "--upgrade": arguments.target_dir is not None and arguments.upgrade,
        "--no-warn-script-location": not arguments.warn_script_location,
        "--no-warn-conflicts": not arguments.warn_about_conflicts,
        "--ignore-requires-python": arguments.ignore_requires_python,
        f"--root-user-action={arguments.root_user_action}": True,
    }
    return InstallOptions(
        user=bool(arguments.use_user_site),
        target=arguments.target_dir,
        prefix=arguments.prefix_path,
        root=arguments.root_path,
        compile=bool(arguments.compile),
        no_deps=bool(arguments.ignore_dependencies),
        pip_arguments=(
            *(option for option, wanted in passed_on.items() if wanted),
            *_target_options(arguments),
        ),
    )


def _target_options(arguments: argparse.Namespace) -> list[str]:
    """The options that describe another target, so that pip takes the wheels chosen for it."""
    version = ".".join(map(str, arguments.python_version or ()))
    return [
        *([f"--python-version={version}"] if version else []),
        *([f"--implementation={arguments.implementation}"] if arguments.implementation else []),
        *(f"--platform={one}" for one in arguments.platforms or ()),
        *(f"--abi={one}" for one in arguments.abis or ()),
    ]


def _write_report(name: str, text: str) -> None:
    if name == "-":
        console.say_machine(text)
        return
    try:
        Path(name).write_text(text, encoding="utf-8")
    except OSError as error:
        raise SecurepipError(f"The report {name} cannot be written: {error.strerror}") from None


def _satisfied_line(satisfied: SatisfiedRequirement) -> str:
    wanted_by = f" (from {satisfied.comes_from})" if satisfied.comes_from else ""
    return (
        f"Requirement already satisfied: {satisfied.requirement} in {satisfied.location}"
        f"{wanted_by} ({satisfied.version})"
    )


def plain_pip(arguments: argparse.Namespace) -> int:
    """Run pip with the same command line: what the user asks for who switches verification off."""
    from securepip.installer.target.process import pip_runner

    console.warn(
        "package verification is switched off: nothing that is installed now was checked.\n"
        f"Leave out {UNSAFE} to install verified packages.",
        always=True,
    )
    # pip wants it before the command.
    python = () if arguments.python is None else ("--python", arguments.python)
    # Not `-m pip`, which would run a `pip.py` of the current folder.
    command = [sys.executable, str(pip_runner()), *python, *_words_for_pip(arguments.words)]
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
        elif word != UNSAFE:
            kept.append(word)
    return kept
