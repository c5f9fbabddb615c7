"""``securepip install``: requirements → plan → verified files → pip."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from securepip.cli import console
from securepip.errors import SecurepipError
from securepip.interpreter import early

if TYPE_CHECKING:
    from packaging.utils import NormalizedName

    from securepip.cli.pip_commands.prepare import Prepared
    from securepip.cli.pip_commands.requests import InstallRequest
    from securepip.installer import HandOff, HandOver, InstallOptions
    from securepip.interpreter.process import Pip
    from securepip.resolver.plan import Plan


def run(request: InstallRequest) -> int:
    """Install what the request names.

    Returns:
        The exit code: 0.

    Raises:
        SecurepipError: Something cannot be found, verified or installed.
    """
    # pip starts first, because it takes as long to load as everything that is imported below. It
    # ends last, because it may still read what is opened in `stack`.
    with ExitStack() as pips, ExitStack() as stack:
        pip = _begin(request, pips)
        from securepip.cli.pip_commands import said
        from securepip.cli.pip_commands.prepare import prepare

        asked = prepare(request, stack, pip.facts if pip else None)
        _check_managed(request, asked)
        if request.destination.user:
            from securepip.installer import check_user_site

            check_user_site(asked.environment.python)
        installs = _is_needed(request, asked)
        if installs:
            pip = _loading(pip, asked, pips)
        first = _asked_first(request, asked)
        if first:
            asked.index.begin(first)
            _import_what_follows(request, installs=installs)
        plan = asked.resolve(
            ignore_installed=request.ignore_installed or request.destination.folder is not None,
            force_reinstall=request.force_reinstall,
            upgrade=request.upgrade,
            upgrade_strategy=request.upgrade_strategy,
        )
        said.say_satisfied(plan.satisfied)
        said.say_unsigned(plan)
        if request.report is not None:
            _write_report(request.report, asked.report(plan))
        if plan.install and request.dry_run:
            console.say(f"Would install {said.names(plan, as_written=True)}")
        elif plan.install:
            with _open_hand_over(request, asked, pip) as hand_over:
                with asked.display:
                    hand_over.expect(plan.install)
                    files = asked.index.fetch(plan.signed, hand_over.take)
                    said.say_verified(files)
                    wheels = asked.open_builder().wheels(plan, files)
                _hand_off(request, plan, wheels, asked, hand_over)
    return 0


def _check_managed(request: InstallRequest, asked: Prepared) -> None:
    """Refuse to change a Python whose packages another tool manages, where pip refuses (PEP 668).

    Raises:
        SecurepipError: Another tool manages it, and no option says to install nevertheless.
    """
    place = request.destination
    elsewhere = any(folder is not None for folder in (place.folder, place.prefix, place.root))
    only_reports = request.dry_run and request.report is not None
    marker = asked.environment.externally_managed
    if marker and not (elsewhere or only_reports or request.break_system_packages):
        from securepip.installer import refuse_externally_managed

        refuse_externally_managed(marker)


def _begin(request: InstallRequest, stack: ExitStack) -> Pip | None:
    """Start the target's interpreter, and load pip in it where that will probably be needed."""
    named, reinstalls = request.named, request.force_reinstall or request.ignore_installed
    words = () if request.dry_run else named.words
    surely = bool(words) and (reinstalls or request.destination.folder is not None)
    begun = early.begin(request.target.python, words, surely=surely)
    return None if begun is None else stack.enter_context(begun)


def _is_needed(request: InstallRequest, asked: Prepared) -> bool:
    """Whether it is certain before the search that something has to be installed."""
    requirements = asked.given.requirements
    named = [one for one in requirements if one.marker is None and one.project is not None]
    installed = asked.environment.installed
    return not request.dry_run and any(one.project not in installed for one in named)


def _asked_first(request: InstallRequest, asked: Prepared) -> list[NormalizedName]:
    """The projects whose pages the search will ask for first."""
    everything = request.upgrade or request.force_reinstall or request.ignore_installed
    return [
        one.project
        for one in asked.given.requirements
        if not asked.options.no_index
        and (one.marker, one.link) == (None, None)
        and one.project is not None
        and (everything or one.project not in asked.environment.installed)
    ]


def _import_what_follows(request: InstallRequest, *, installs: bool) -> None:
    """Import what the search and the hand-off need, while the first answers are on their way."""
    if request.upgrade and not installs:
        # Usually nothing is newer, and then there is no search.
        import_module("securepip.resolver.candidates.offered")
        return
    import_module("securepip.resolver.search.solve")
    if installs:
        import_module("securepip.installer.sdists")
        import_module("securepip.installer.handoff")


def _loading(pip: Pip | None, asked: Prepared, stack: ExitStack) -> Pip:
    """Load pip in the target's interpreter, which is started if it does not run yet."""
    if pip is None:
        from securepip.interpreter.process import Pip

        return stack.enter_context(Pip(asked.environment.python))
    pip.load()
    return pip


def _open_hand_over(request: InstallRequest, asked: Prepared, pip: Pip | None) -> HandOver:
    from securepip.installer import HandOver

    python = asked.environment.python
    return HandOver(python, _install_options(request), pip, asked.open_byte_code())


def _hand_off(
    request: InstallRequest,
    plan: Plan,
    wheels: Sequence[HandOff],
    asked: Prepared,
    hand_over: HandOver,
) -> None:
    from securepip.cli.pip_commands import said
    from securepip.resolver.consistency import broken_requirements

    environment = asked.environment
    looks = request.warn_conflicts and not request.choosing.no_deps
    broken = broken_requirements(plan, environment) if looks else ()
    console.say("Installing collected packages: " + ", ".join(one.name for one in plan.install))
    report = hand_over.install(wheels)
    for line in report.replaced:
        console.say(line)
    if report.warnings:
        print(report.warnings.rstrip(), file=sys.stderr)
    if broken:
        said.say_broken(broken)
    console.say(f"Successfully installed {said.names(plan)}")


def _install_options(request: InstallRequest) -> InstallOptions:
    from securepip.installer import InstallOptions

    place = request.destination
    passed_on = {
        "--break-system-packages": request.break_system_packages,
        "--no-user": place.user is False,
        "--ignore-installed": request.ignore_installed,
        "--upgrade": place.folder is not None and request.upgrade,
        "--no-warn-script-location": not request.warn_script_location,
        f"--root-user-action={request.root_user_action}": True,
    }
    return InstallOptions(
        user=bool(place.user),
        target=place.folder,
        prefix=place.prefix,
        root=place.root,
        compile=request.compile,
        pip_arguments=(
            *(option for option, wanted in passed_on.items() if wanted),
            *_target_options(request),
        ),
    )


def _target_options(request: InstallRequest) -> Iterator[str]:
    """The options that name another target, so that pip accepts the wheels chosen for it."""
    target = request.target
    if target.python_version:
        yield f"--python-version={'.'.join(map(str, target.python_version))}"
    if target.implementation:
        yield f"--implementation={target.implementation}"
    yield from (f"--platform={one}" for one in target.platforms)
    yield from (f"--abi={one}" for one in target.abis)


def _write_report(name: str, text: str) -> None:
    if name == "-":
        console.say_machine(text)
        return
    try:
        Path(name).write_text(text, encoding="utf-8")
    except OSError as error:
        raise SecurepipError(f"The report {name} cannot be written: {error.strerror}") from None
