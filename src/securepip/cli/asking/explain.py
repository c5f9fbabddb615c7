"""``securepip explain``: why a file may be believed, or why the last run was refused."""

from __future__ import annotations

import argparse
import json
import textwrap
from contextlib import ExitStack, redirect_stdout
from dataclasses import dataclass, field, replace
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING

from securepip.cli import console
from securepip.cli.options import (
    Network,
    add_general_options,
    add_network_options,
    apply_configuration,
    network_of,
)
from securepip.errors import SecurepipError, UntrustedError, UsageError, VerificationError

if TYPE_CHECKING:
    from packaging.utils import NormalizedName

    from securepip.explain import Explanation, Link
    from securepip.formats.digests import Sha256
    from securepip.formats.page import PageFile
    from securepip.index import VerifiedIndex
    from securepip.last_run import LastRun

_WIDTH = 79
_SIGNERS = {
    "maintainers": "The project's own maintainers signed it.",
    "operator": "Those who run the repository signed it.",
    "first-use": "This machine signed it when it saw it first.",
}
_ENDINGS = {
    0: "It did what was asked.",
    1: "It failed. Nothing was served that is not what was signed.",
    2: "It did not understand its command line, and did nothing.",
    3: "It was refused: something was served that was not signed, or is out of date. Nothing that "
    "was refused was used.",
}
_KINDS = {
    "UntrustedError": "No trusted repository offers what was asked for.",
    "RepositoryUnavailableError": "A trusted repository did not answer.",
    "ResolutionError": "No set of releases satisfies what was asked.",
    "ConflictError": "What was asked contradicts itself.",
}


@dataclass(frozen=True)
class ExplainRequest:
    """``securepip explain``.

    Attributes:
        what: A requirement, or the path of a wheel or sdist; None for the last run.
        as_json: Print JSON for a program.
        options: Of ``install``: where is looked, and for which environment.
        network: How servers are reached.
    """

    what: str | None
    as_json: bool = False
    options: tuple[str, ...] = ()
    network: Network = field(default_factory=Network)


def complete(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``explain``."""
    parser.description = (
        "Say where a file comes from and why it may be believed: each link of the chain, from the "
        "root to its bytes, who signed it, and what was not checked."
    )
    parser.add_argument(
        "what", nargs="?", metavar="REQUIREMENT|FILE",
        help="what install would choose for it; or a wheel or sdist on this machine",
    )  # fmt: skip
    parser.add_argument("--last", action="store_true", help="the last run, also a refused one")
    parser.add_argument("--json", action="store_true", help="for programs")
    parser.add_argument(
        "--python", metavar="PYTHON", help="choose for this interpreter or environment"
    )
    parser.add_argument("--repository", metavar="NAME", help="ask only this trusted repository")
    parser.add_argument(
        "--read-only-state", action="store_true",
        help="leave what was seen so far as it is, in an image for example",
    )  # fmt: skip
    parser.add_argument("-i", "--index-url", metavar="URL", help="as for install")
    parser.add_argument("--pre", action="store_true", help="pre-releases, too")
    parser.set_defaults(run=_run)
    add_general_options(parser)
    add_network_options(parser)
    apply_configuration(parser, "explain")


def _run(arguments: argparse.Namespace) -> int:
    if arguments.last == (arguments.what is not None):
        raise UsageError("explain takes a requirement, the path of a wheel or sdist, or --last")
    options: list[str] = ["--pre"] if arguments.pre else []
    options += ["--read-only-state"] if arguments.read_only_state else []
    for name in ("python", "repository", "index_url"):
        value = getattr(arguments, name)
        if value is not None:
            options += [f"--{name.replace('_', '-')}", value]
    return run(
        ExplainRequest(arguments.what, arguments.json, tuple(options), network_of(arguments))
    )


def run(request: ExplainRequest) -> int:
    """Explain a file, or the last run.

    Returns:
        The exit code: 0; 1 where nobody signs the file.

    Raises:
        VerificationError: The file is not what was signed under its name.
        SecurepipError: It cannot be had or read.
    """
    if request.as_json:
        console.keep_stdout_free()
    if request.what is None:
        return _explain_last(as_json=request.as_json)
    from securepip.cli.pip_commands import parser as pip_parser
    from securepip.cli.pip_commands.prepare import prepare
    from securepip.cli.pip_commands.requests import InstallRequest
    from securepip.explain import explain
    from securepip.formats.distribution import is_distribution

    path = Path(request.what)
    is_file = is_distribution(request.what) and path.is_file()
    if is_distribution(request.what) and not is_file:
        raise UsageError(f"there is no file {request.what}")
    word = _project_of(path.name) if is_file else request.what
    read = pip_parser.read("install", [*request.options, "--no-deps", word])
    if not isinstance(read, InstallRequest):
        raise UsageError(f"not a requirement: {request.what!r}")
    with ExitStack() as stack:
        if not console.is_verbose():
            # The messages of the search are not part of the answer.
            stack.enter_context(redirect_stdout(StringIO()))
        asked = prepare(replace(read, network=request.network, dry_run=True), stack)
        if is_file:
            index = asked.index.opened()
            project, file = _signed_as(path, index)
            file = index.as_chosen(project, file)
        else:
            plan = asked.resolve(ignore_installed=True)
            (planned,) = plan.install
            if planned.signed is None:
                raise UntrustedError(
                    f"{planned.file.filename} is your own, and nobody signed it",
                    remedy="Name a release that a repository has: securepip explain NAME==VERSION",
                )
            index = asked.index.opened()
            project, file = planned.project, index.as_chosen(planned.project, planned.signed)
        explanation = explain(index, project, file)
    if request.as_json:
        console.say_machine(json.dumps(explanation.to_json(), indent=2, ensure_ascii=False))
    else:
        _say(explanation)
    return 0


def _project_of(filename: str) -> str:
    """The name of the project in the file name of a distribution."""
    from packaging.utils import (
        InvalidSdistFilename,
        InvalidWheelFilename,
        parse_sdist_filename,
        parse_wheel_filename,
    )
    from packaging.version import InvalidVersion

    try:
        if filename.endswith(".whl"):
            return parse_wheel_filename(filename)[0]
        return parse_sdist_filename(filename)[0]
    except (InvalidWheelFilename, InvalidSdistFilename, InvalidVersion):
        name = filename.rpartition("-")[0]
        if not name:
            raise UsageError(f"{filename!r} is not the name of a wheel or sdist") from None
        return name


def _signed_as(path: Path, index: VerifiedIndex) -> tuple[NormalizedName, PageFile]:
    """Find the signed file with the name and the bytes of a file on this machine.

    Raises:
        VerificationError: Another file was signed under its name.
        UntrustedError: Nobody signed it.
    """
    from securepip.formats.digests import open_plain, sha256_of_stream
    from securepip.formats.layout import parse_project

    project = parse_project(_project_of(path.name))
    try:
        with open_plain(path.resolve()) as stream:
            sha256, size = sha256_of_stream(stream)
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from None
    page = index.page(project)
    if page is None:
        raise UntrustedError(
            f"no trusted repository signs {project}, so nobody has signed {path.name}"
        )
    file = page.file(path.name)
    if file is not None and file.sha256 == sha256:
        return project, file
    same = [one for one in page.files if one.sha256 == sha256]
    if same:
        return project, same[0]
    if file is None:
        raise UntrustedError(
            f"{index.origin(project)} signs {project}, and no file {path.name}",
            meaning="The file was withdrawn, was never published there, or somebody made it.",
        )
    raise _other(path, file, sha256, size, index.origin(project))


def _other(path: Path, file: PageFile, sha256: Sha256, size: int, origin: str) -> VerificationError:
    return VerificationError(
        f"{path} is not what {origin} signed under that name\n"
        f"sha256 of the file: {sha256} ({size} bytes)\n"
        f"sha256 signed:      {file.sha256}",
        meaning="Somebody has changed it, or it was built by somebody else, or it is cut off.",
        remedy="Do not install it. `securepip download` fetches the signed one.",
    )


def _say(one: Explanation) -> None:
    size = f", {_bytes(one.size)}" if one.size is not None else ""
    console.say(f"{one.filename}  ({one.project} {one.version}{size})")
    _wrapped(
        f"{_SIGNERS[one.claim.value]} You trust the repository {one.repository!r} "
        f"({one.location}){f': {one.since}' if one.since else ''}.",
        "",
    )
    console.say("\nWhy it may be believed, link by link:")
    for link in one.links:
        _say_link(link)
    where = "in this machine's store already; first from" if one.is_stored else "would come from"
    console.say("\nIts bytes:")
    _wrapped(f"{where} {one.url}", "  ")
    console.say("\nNot checked:")
    for text in one.not_checked:
        _wrapped(text, "  - ")


def _say_link(link: Link) -> None:
    if link.version is None:
        size = f" ({_bytes(link.size)})" if link.size is not None else ""
        _wrapped(f"{link.says}{size}", f"  {link.name:<10} ")
    else:
        until = f"until {link.expires:%Y-%m-%d}" if link.expires else ""
        signers = ", ".join(
            f"{one.name} ({one.key_id[:8]})" if one.name else one.key_id[:8]
            for one in link.signatures
        )
        says = link.says if console.is_verbose() else link.says.partition(";")[0]
        _wrapped(
            f"{says}. Version {link.version}, {until}; {_counted_keys(link)} {signers}",
            f"  {link.name:<10} ",
        )
    if console.is_verbose():
        console.say(f"  {'':<10} {link.url}")
        if link.sha256 is not None:
            console.say(f"  {'':<10} sha256 {link.sha256}")
        for one in link.signatures:
            console.say(f"  {'':<10} key {one.key_id}")


def _counted_keys(link: Link) -> str:
    if link.keys == link.threshold == 1:
        return "signed with the key"
    return f"signed by {len(link.signatures)} of {link.keys} keys, {link.threshold} needed:"


def _wrapped(text: str, start: str) -> None:
    lines = textwrap.wrap(
        text, _WIDTH, initial_indent=start, subsequent_indent=" " * len(start),
        break_long_words=False, break_on_hyphens=False,
    )  # fmt: skip
    for line in lines:
        console.say(line)


def _bytes(size: int) -> str:
    return f"{size / 1e6:.1f} MB" if size >= 1e6 else f"{size / 1e3:.1f} kB"


def _explain_last(*, as_json: bool) -> int:
    from securepip.last_run import read_last_run

    last = read_last_run()
    if last is None:
        raise SecurepipError(
            "no last run is recorded",
            meaning="Only the last install, download, lock or gateway of this user is recorded.",
        )
    if as_json:
        document = {
            "format": 1, "command": last.command, "asked": list(last.asked),
            "ended": last.ended.isoformat(), "exit_code": last.exit_code,
            "refused": last.exit_code == VerificationError.exit_code, "error": last.kind or None,
            "what": last.what, "meaning": last.meaning, "remedy": last.remedy,
        }  # fmt: skip
        console.say_machine(json.dumps(document, indent=2, ensure_ascii=False))
    else:
        _say_last(last)
    return 0


def _say_last(last: LastRun) -> None:
    asked = f" {' '.join(last.asked)}" if last.asked else ""
    console.say(
        f"securepip {last.command}{asked}, ended {last.ended:%Y-%m-%d %H:%M} UTC with exit code "
        f"{last.exit_code}."
    )
    _wrapped(_KINDS.get(last.kind) or _ENDINGS.get(last.exit_code, ""), "")
    for title, text in (
        ("What happened:", last.what),
        ("What that may mean:", last.meaning),
        ("What to do:", last.remedy),
    ):
        if text:
            console.say(f"\n{title}")
            for line in text.splitlines():
                _wrapped(line, "  ")
    if last.exit_code == 0 and last.asked:
        console.say(f"\nWhy a file is believed: securepip explain {last.asked[0]}")
