"""``repo sync`` and ``repo accept-change``: signing what an index offers that does not sign."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING

from securepip.cli import console
from securepip.cli.console.progress import Display
from securepip.cli.options import Commands, parse_age
from securepip.cli.parser import seconds, whole
from securepip.cli.repo.expiry import warn_of
from securepip.cli.repo.place import Place, add_restore, place_command, place_of
from securepip.errors import UsageError
from securepip.formats.words import counted, first_of
from securepip.redaction import harmless

if TYPE_CHECKING:
    from packaging.requirements import Requirement
    from packaging.utils import NormalizedName

    from securepip.resolver import FileOptions
    from securepip.signing.overlay import SyncReport
    from securepip.signing.overlay.sync import SyncOptions


@dataclass(frozen=True)
class SyncRequest:
    """``securepip repo sync``.

    Attributes:
        place: The repository.
        projects: Requirements; where nothing is named at all, everything that was signed before is
            brought up to date.
        requirements: Paths of files that name projects: requirements files, lock files,
            ``pyproject.toml`` files and scripts.
        groups: Dependency groups, each the path of its ``pyproject.toml`` and its name.
        tools: Tools that are signed together with what they download for themselves.
        upstream: URLs of indexes; if empty, those that were named for this repository before, or
            else those of pip's configuration on this machine.
        find_links: Read pip's ``find-links`` setting as well.
        with_dependencies: Also sign all projects that these can require, on any platform.
        dependency_versions: In how many of the newest releases to look for requirements.
        min_age: Leave out files younger than this.
        publish_projects: Publish the changes so far after this number of changed projects.
        publish_seconds: Publish the changes so far after this time, too.
        restore: Also sign what was removed before.
        accept_loss: Projects that may lose most of their files, because their index did.
    """

    place: Place
    projects: tuple[str, ...] = ()
    requirements: tuple[str, ...] = ()
    groups: tuple[tuple[str, str], ...] = ()
    tools: tuple[str, ...] = ()
    upstream: tuple[str, ...] = ()
    find_links: bool = False
    with_dependencies: bool = False
    dependency_versions: int = 5
    min_age: timedelta | None = None
    publish_projects: int = 50_000
    publish_seconds: float = 900.0
    restore: bool = False
    accept_loss: tuple[str, ...] = ()


_SHOWN_NAMES = 8


def add_to(commands: Commands) -> None:
    """Add the commands to those of ``repo``."""
    _add_sync(commands)
    _add_accept_change(commands)


def _add_sync(commands: Commands) -> None:
    summary = "sign what an index offers that does not sign; its files stay where they are"
    parser = place_command(commands, "sync", summary)
    parser.add_argument(
        "projects", nargs="*", default=[], metavar="PROJECT",
        help="requirements; of none, everything that was signed before is brought up to date",
    )  # fmt: skip
    parser.add_argument(
        "-r", "--requirement", action="append", default=[], metavar="FILE",
        help="a file that names projects: requirements.txt, pylock.toml, uv.lock, poetry.lock, "
        "pdm.lock, pyproject.toml or a script with inline metadata; may be repeated",
    )  # fmt: skip
    parser.add_argument(
        "--group", action="append", default=[], type=_parse_group, metavar="[PATH:]GROUP",
        help="a dependency group of ./pyproject.toml, or of PATH; may be repeated",
    )  # fmt: skip
    parser.add_argument(
        "--tools", type=_parse_tools, default=(), metavar="TOOL,…",
        help="these tools, and what they fetch for themselves, for example tox,pipx,uv",
    )  # fmt: skip
    parser.add_argument(
        "--upstream", action="append", default=[], metavar="URL",
        help="the index; may be repeated, and is remembered without its password (default: those "
        "named the last time, or else those that pip here is configured for)",
    )  # fmt: skip
    parser.add_argument(
        "--find-links", action="store_true", help="read pip's find-links setting as well"
    )
    parser.add_argument(
        "--with-dependencies", action="store_true",
        help="sign all projects that these can require, on any platform",
    )  # fmt: skip
    parser.add_argument(
        "--dependency-versions", type=whole(1, 1000), default=5, metavar="N",
        help="how many of the newest releases are read for requirements (default: 5)",
    )  # fmt: skip
    parser.add_argument(
        "--min-age", type=parse_age, metavar="AGE",
        help="leave out files younger than this: 12h, 7d, 2w",
    )  # fmt: skip
    parser.add_argument(
        "--publish-projects", type=whole(1, 10**12), default=50_000, metavar="N",
        help="publish what there is after N changed projects, and go on (default: 50000)",
    )  # fmt: skip
    parser.add_argument(
        "--publish-seconds", type=seconds(), default=900.0, metavar="S",
        help="publish what there is after so many seconds too, and go on (default: 900)",
    )  # fmt: skip
    add_restore(parser)
    parser.add_argument(
        "--accept-loss", action="append", default=[], metavar="PROJECT",
        help="let this project lose most of its files, as its index did; may be repeated",
    )  # fmt: skip
    parser.set_defaults(run=_sync)


def _sync(arguments: argparse.Namespace) -> int:
    return sync(
        SyncRequest(
            place_of(arguments),
            projects=tuple(arguments.projects),
            requirements=tuple(arguments.requirement),
            groups=tuple(arguments.group),
            tools=arguments.tools,
            upstream=tuple(arguments.upstream),
            find_links=arguments.find_links,
            with_dependencies=arguments.with_dependencies,
            dependency_versions=arguments.dependency_versions,
            min_age=arguments.min_age,
            publish_projects=arguments.publish_projects,
            publish_seconds=arguments.publish_seconds,
            restore=arguments.restore,
            accept_loss=tuple(arguments.accept_loss),
        )
    )


def sync(request: SyncRequest) -> int:
    """Sign what an index offers; 1 where a person has to look at something."""
    from securepip.signing.overlay import upstream_named_before
    from securepip.signing.overlay.sync import sync as sign_what_is_offered
    from securepip.signing.overlay.upstream.pip_configuration import read_pip_configuration
    from securepip.signing.overlay.upstream.sources import open_sources
    from securepip.signing.publish.refresh import expiring
    from securepip.transport import Transport

    with request.place.open("repo sync", *request.projects) as repository:
        named = request.upstream or upstream_named_before(repository)
        if named and not request.upstream:
            console.say(f"Upstream, as the last time: {' '.join(named)}")
        pip = read_pip_configuration(named)
        options = replace(
            _options(request, pip.constraints, pip.indexes), upstream_named=bool(named)
        )
        find_links = pip.find_links if request.find_links else ()
        with closing(Transport(pip.transport)) as transport:
            sources = open_sources(pip.indexes, find_links, transport)
            with Display() as display:
                report = sign_what_is_offered(
                    repository,
                    sources,
                    transport,
                    options,
                    progress=partial(display.count, "Projects"),
                )
        waiting = expiring(repository)
    _show(report, request.place)
    return 1 if warn_of(waiting, request.place) or report.problems else 0


def _options(
    request: SyncRequest, constraint_files: tuple[str, ...], indexes: tuple[str, ...]
) -> SyncOptions:
    from securepip import wanted
    from securepip.formats.layout import parse_project
    from securepip.resolver import read_requirements
    from securepip.signing.overlay.sync import SyncOptions

    plain, more = wanted.split_files(request.requirements)
    asked = read_requirements(
        [*request.projects, *wanted.fetched_by(request.tools), *wanted.read_groups(request.groups)],
        plain,
        constraint_files,
        more=more,
        must_be_verifiable=False,
    )
    _warn_of_other_indexes(asked.file_options, indexes)
    for each in asked.requirements:
        if each.link is not None:
            console.warn(
                f"{each.text} is not signed{f' ({each.source})' if each.source else ''}: it names "
                "a path or an address, and a sync signs only what an index has. Its requirements "
                "are not read either.\n"
                "What you have as a file is signed by `securepip repo add DIR FILE`."
            )
    projects = [each.requirement for each in asked.requirements if each.link is None]
    if not projects and (request.requirements or request.projects or request.groups):
        raise UsageError("the requirements name no project of an index")
    return SyncOptions(
        requirements=[_briefly(each) for each in projects if each is not None],
        constraints=[each.requirement for each in asked.constraints if each.requirement],
        with_dependencies=request.with_dependencies,
        dependency_versions=request.dependency_versions,
        publish_projects=request.publish_projects,
        publish_seconds=request.publish_seconds,
        min_age=request.min_age,
        restore=request.restore,
        accept_loss=frozenset(map(parse_project, request.accept_loss)),
    )


def _briefly(requirement: Requirement) -> Requirement | NormalizedName:
    """``requirement``, or only its name if there is nothing else in it, to save memory."""
    from securepip.formats.layout import parse_project

    says_more = requirement.specifier or requirement.extras or requirement.marker
    return requirement if says_more or requirement.url else parse_project(requirement.name)


def _warn_of_other_indexes(options: FileOptions, indexes: tuple[str, ...]) -> None:
    """Warn of indexes that only a requirements file names: only the operator's are asked.

    Otherwise whoever writes a requirements file could choose the index that is signed.
    """
    named = dict.fromkeys([*filter(None, [options.index_url]), *options.extra_index_urls])
    asked = {index.rstrip("/") for index in indexes}
    for index in named:
        if index.rstrip("/") not in asked:
            console.warn(
                f"A requirements file names the index {harmless(index)}, which is not "
                "asked here. Say --upstream, once for each index, if it is to be."
            )


def _show(report: SyncReport, place: Place) -> None:
    """Print what a sync did, in a few lines."""
    from securepip.signing.overlay.upstream.page import Reason

    for notice in report.notices:
        console.say(f"Note: {notice}")
    for remark in report.remarks:
        console.say(f"Note: {remark}", level=1)
    hidden = {Reason.NOT_A_DISTRIBUTION}
    for project in report.left_out:
        for reason, count in report.left_out_by_reason(project).items():
            console.say(
                f"{project}: {counted(count, 'file')} left out: {reason.value}",
                level=1 if reason in hidden else 0,
            )
        for each in report.left_out[project]:
            console.say(f"  {each.filename}: {each.reason.value}", level=2)
    if report.signed:
        console.say(f"Signed {_names(report.signed)}")
    for because in sorted(set(report.because.values())):
        new = [project for project, cause in report.because.items() if cause == because]
        console.say(f"  new because of {because}: {', '.join(sorted(new))}")
    if report.removed:
        console.say(f"Took out {_names(report.removed)}")
    if report.claimed:
        console.say(f"Left to their maintainers, who sign for themselves: {_names(report.claimed)}")
    projects = len(report.signed) + report.unchanged
    files = "" if report.unread else f" with {counted(report.files, 'file')}"
    console.say(
        f"{counted(projects, 'project')}{files}, "
        f"{report.unchanged} of them unchanged "
        f"({counted(report.requests, 'request')}, {report.received / 1e6:.1f} MB)"
    )
    for project, required in report.unsigned.items():
        are = "is" if len(required) == 1 else "are"
        console.say(
            f"{project} requires {first_of(required, _SHOWN_NAMES, ', ')}, which {are} not signed "
            "here: --with-dependencies signs what is required, too"
        )
    if not report.roles:
        console.say("Nothing had to be signed.")
    for problem in report.problems:
        console.warn(str(problem).replace(" DIR", f" {place.typed}"))


def _names(projects: Sequence[str]) -> str:
    return f"{counted(len(projects), 'project')}: {first_of(projects, _SHOWN_NAMES)}"


def _add_accept_change(commands: Commands) -> None:
    summary = "accept that a published file now has other bytes, and ask the index again about it"
    parser = place_command(commands, "accept-change", summary)
    parser.add_argument("filename", metavar="FILENAME", help="a file that was reported as changed")
    parser.set_defaults(run=_accept_change)


def _accept_change(arguments: argparse.Namespace) -> int:
    return accept_change(place_of(arguments), arguments.filename)


def accept_change(place: Place, filename: str) -> int:
    """Accept that a published file now has other bytes."""
    from securepip.signing.overlay import accept_change as accept

    with place.open("repo accept-change", filename) as repository:
        accepted, forgotten = accept(repository, filename)
    for project, sha256 in accepted:
        console.say(f"Accepted {filename} of {project} with sha256 {sha256}")
    for project in forgotten:
        console.say(
            f"Forgot what servers said of {filename} of {project}: its length, its metadata"
        )
    projects = " ".join(sorted({project for project, _ in accepted} | set(forgotten)))
    console.say(f"It is signed by the next `securepip repo sync {place.typed} {projects}`.")
    return 0


def _parse_tools(text: str) -> tuple[str, ...]:
    return tuple(filter(None, (word.strip() for word in text.split(","))))


def _parse_group(text: str) -> tuple[str, str]:
    path, colon, name = text.rpartition(":")
    if not name or (colon and not path.endswith("pyproject.toml")):
        raise argparse.ArgumentTypeError(f"not [PATH/pyproject.toml:]GROUP: {text!r}")
    return path or "pyproject.toml", name
