"""``securepip verify``: checks whether the installed files are those that were signed."""

from __future__ import annotations

import argparse
import json
import shlex
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from securepip.cli import console
from securepip.cli.options import (
    Network,
    add_general_options,
    add_network_options,
    apply_configuration,
    network_of,
)
from securepip.errors import FormatError, UsageError
from securepip.formats.words import counted

if TYPE_CHECKING:
    from securepip.verify import Checked, Finding, Report

_SAID = {
    "signed": "what was signed",
    "built": "built from signed source",
    "with-python": "came with Python",
    "editable": "your own folder, editable",
    "local": "your own file or folder",
    "direct-url": "from an address that somebody named",
    "unsigned": "not signed by a trusted repository",
    "withdrawn": "of a signed project, but not signed (any more)",
    "unchecked": "not to be checked now",
    "not-installed": "not installed",
    "different": "not as it was signed",
}
_DIFFERENT = "different"
_NAMED = frozenset({_DIFFERENT, "built", "with-python", "editable", "local", "direct-url"})
_SHOWN = 8
"""The greatest number of findings that are listed for one distribution; ``-v`` lists all."""


@dataclass(frozen=True)
class VerifyRequest:
    """``securepip verify``.

    Attributes:
        projects: Only these; all where none is named.
        python: The environment's interpreter or folder; None for securepip's own.
        as_json: For programs.
        repository: Only this one of the trusted repositories.
        read_only_state: Work on a copy of what was seen of the repositories so far.
        network: How servers are reached.
    """

    projects: tuple[str, ...] = ()
    python: str | None = None
    as_json: bool = False
    repository: str | None = None
    read_only_state: bool = False
    network: Network = field(default_factory=Network)


def complete(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``verify``."""
    parser.description = (
        "Compare what is installed with what was signed. Exit code 0: all is as it was signed. "
        "1: something differs. 3: something is not what was signed."
    )
    parser.add_argument(
        "projects", nargs="*", default=[], metavar="PROJECT", help="only these (default: all)"
    )
    parser.add_argument(
        "--python", metavar="PYTHON",
        help="the environment: its interpreter, or its folder (default: the one that securepip is "
        "in; where pipx or uv made that, the active one)",
    )  # fmt: skip
    parser.add_argument("--json", action="store_true", help="for programs")
    parser.add_argument("--repository", metavar="NAME", help="ask only this trusted repository")
    parser.add_argument(
        "--read-only-state", action="store_true",
        help="leave what was seen so far as it is, in an image for example",
    )  # fmt: skip
    parser.set_defaults(run=_run)
    add_general_options(parser)
    add_network_options(parser)
    apply_configuration(parser, "verify")


def _run(arguments: argparse.Namespace) -> int:
    return run(
        VerifyRequest(
            tuple(arguments.projects),
            arguments.python,
            arguments.json,
            arguments.repository,
            arguments.read_only_state,
            network_of(arguments),
        )
    )


def run(request: VerifyRequest) -> int:
    """Print whether the installed files are those that were signed.

    Returns:
        The exit code: 0, 1 or 3.

    Raises:
        UsageError: There is no such interpreter or repository, or a word names no project.
        UntrustedError: No repository is trusted yet.
        RepositoryUnavailableError: A repository does not answer.
    """
    from securepip import resolver
    from securepip.cli.asking.opened import open_index
    from securepip.dirs import usable_cache
    from securepip.formats.layout import parse_project
    from securepip.installer import WheelCache
    from securepip.plugin.environment import contents, environment_of
    from securepip.verify import verify

    try:
        projects = [parse_project(word) for word in request.projects]
    except FormatError as error:
        raise UsageError(error.what) from None
    if request.as_json:
        console.keep_stdout_free()
    with ExitStack() as stack:
        cache = usable_cache(stack)
        index = open_index(
            request.network,
            cache,
            stack,
            repository=request.repository,
            read_only_state=request.read_only_state,
        )
        environment = resolver.probe(request.python, start_up=False)
        written = contents(environment_of(environment))
        report = verify(environment, index, WheelCache(cache / "wheels"), projects, written)
    if request.as_json:
        console.say_machine(json.dumps(_document(report), indent=2, ensure_ascii=False))
    else:
        _say(report)
    return report.exit_code


def _say(report: Report) -> None:
    count = counted(len(report.distributions), "distribution")
    console.say(f"Checked {count} of {report.python}")
    for status, number in Counter(map(_what, report.distributions)).items():
        named = [one for one in report.distributions if _what(one) == status]
        names = ""
        if status == "signed":
            names = f" by {', '.join(sorted({one.repository for one in named}))}"
        elif status in _NAMED:
            names = f": {', '.join(f'{one.project} {one.version}' for one in named)}"
        console.say(f"{number:5} {_SAID[status]}{names}")
    if console.is_verbose():
        for one in report.distributions:
            compared = f"  {one.filename} sha256:{one.sha256}" if one.filename else ""
            whence = f"  {one.source}" if one.source else ""
            console.say(
                f"      {one.project} {one.version}: {_SAID[one.status.value]}{compared}{whence}"
            )
    for code, title in (
        (3, "Not what was signed:"),
        (1, "Different from what was installed:"),
        (0, "To know:"),
    ):
        lines = list(_lines(report, code))
        if lines:
            console.say(f"\n{title}", level=-9 if code else 0)
        for line in lines:
            console.say(line, level=-9 if code else 0)
    if report.exit_code == 3:
        console.say("\nDo not run what is listed there before you know why it is so.")
        again = [f"{one.project}=={one.version}" for one in report.distributions if _is_wrong(one)]
        if again:
            command = f"--python {shlex.quote(str(report.python))} --force-reinstall --no-deps"
            console.say(
                "This installs what was signed in its place:\n"
                f"  securepip install {command} {' '.join(again)}"
            )
    elif report.exit_code == 0:
        console.say("\nNothing is changed, missing or added.")


def _what(one: Checked) -> str:
    """The status that a distribution is counted under; "signed" only where nothing differs."""
    differs = any(finding.exit_code for finding in one.findings)
    return _DIFFERENT if differs and one.status.value == "signed" else one.status.value


def _is_wrong(one: Checked) -> bool:
    """Whether the signed contents are known, and the installed ones are different."""
    return one.status.value == "signed" and any(each.exit_code == 3 for each in one.findings)


def _lines(report: Report, code: int) -> Iterator[str]:
    """The findings with this exit code, by distribution."""
    for one in report.distributions:
        findings = [finding for finding in one.findings if finding.exit_code == code]
        if findings:
            yield f"  {one.project} {one.version}".rstrip()
            yield from _some(findings)
    strays = [finding for finding in report.strays if finding.exit_code == code]
    if strays:
        yield "  of no distribution"
        yield from _some(strays)


def _some(findings: Sequence[Finding]) -> Iterator[str]:
    shown = findings if console.is_verbose() else findings[:_SHOWN]
    for finding in shown:
        yield f"    {finding.kind.value:<12} {finding.what}"
        if finding.path is not None and console.is_verbose():
            yield f"    {'':<12} {finding.path}"
    if len(findings) > len(shown):
        yield f"    … and {len(findings) - len(shown)} more (-v lists all)"


def _document(report: Report) -> dict[str, object]:
    return {
        "version": 1,
        "python": str(report.python),
        "exit_code": report.exit_code,
        "distributions": [_row(one) for one in report.distributions],
        "strays": [_finding(finding) for finding in report.strays],
    }


def _row(one: Checked) -> dict[str, object]:
    return {
        "name": one.project,
        "version": one.version,
        "status": one.status.value,
        "exit_code": max((finding.exit_code for finding in one.findings), default=0),
        "location": one.location,
        "repository": one.repository or None,
        "file": one.filename or None,
        "sha256": one.sha256 or None,
        "installer": one.installer or None,
        "source": one.source or None,
        "files": one.files,
        "findings": [_finding(finding) for finding in one.findings],
    }


def _finding(finding: Finding) -> dict[str, object]:
    return {
        "kind": finding.kind.value,
        "path": None if finding.path is None else str(finding.path),
        "what": finding.what,
        "exit_code": finding.exit_code,
    }
