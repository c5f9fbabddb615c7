"""Real pip, over real wheels, is the judge: the same choice, or no solution for both."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from securepip.errors import ResolutionError
from securepip.resolver import (
    ReleaseControl,
    ResolveOptions,
    SatisfiedRequirement,
    read_requirements,
    resolve,
)
from tests.resolver.fakes import FakeIndex, UntouchableIndex, environment, install, pins
from tests.support.wheels import make_wheel

PROJECTS = ("apple", "beet", "corn", "dill", "egg")
VERSIONS = ("1.0", "1.5", "2.0", "3.0b1")
SPECIFIERS = ("", "", ">=1.5", "<2", "==1.0", "==2.0", "!=2.0", "~=1.0", ">2", "==1.*", ">=3.0b1")


class Pip(Protocol):
    def __call__(self, *arguments: str, site: Path) -> tuple[list[str] | None, str]: ...


@pytest.fixture(scope="module")
def pip() -> Iterator[Pip]:
    """What pip would install, in its order, or None when it fails; and what it said."""
    worker = subprocess.Popen(
        [sys.executable, "-m", "tests.resolver._pip_worker"],
        cwd=Path(__file__).parents[2],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert worker.stdin and worker.stdout
    questions, answers = worker.stdin, worker.stdout

    def ask(*arguments: str, site: Path) -> tuple[list[str] | None, str]:
        report = site / "report.json"
        common = ("--isolated", "--disable-pip-version-check", "--no-cache-dir", "--no-index")
        line = ["install", "--dry-run", "--report", str(report), *common, *arguments]
        questions.write(json.dumps({"site": str(site), "arguments": line}) + "\n")
        questions.flush()
        answer = json.loads(answers.readline())
        if answer["status"]:
            return None, answer["said"]
        chosen = [one["metadata"] for one in json.loads(report.read_text())["install"]]
        return sorted(f"{one['name']}=={one['version']}" for one in chosen), answer["said"]

    with worker:
        yield ask
        questions.close()


@dataclass(frozen=True)
class Release:
    project: str
    version: str
    requires: tuple[str, ...]
    requires_python: str | None

    def make(self, folder: Path) -> None:
        make_wheel(
            folder,
            self.project,
            self.version,
            self.requires,
            self.requires_python,
            extras=("x", "y"),
        )


@dataclass(frozen=True)
class Scenario:
    releases: tuple[Release, ...]
    installed: tuple[Release, ...]
    asked: tuple[str, ...]
    constraints: tuple[str, ...]
    upgrade: bool
    prereleases: bool
    no_deps: bool
    eager: bool
    ignore_installed: bool
    force_reinstall: bool
    only_final: str
    local: bool

    def flags(self) -> list[str]:
        """As pip takes the choices."""
        return [
            *(["--upgrade"] if self.upgrade else []),
            *(["--pre"] if self.prereleases else []),
            *(["--no-deps"] if self.no_deps else []),
            *(["--upgrade-strategy=eager"] if self.eager else []),
            *(["--ignore-installed"] if self.ignore_installed else []),
            *(["--force-reinstall"] if self.force_reinstall else []),
            *(["--only-final", self.only_final] if self.only_final else []),
        ]

    def options(self, wheels: Path) -> ResolveOptions:
        """As we take them; the wheels are the user's own, or those of an index."""
        return ResolveOptions(
            upgrade=self.upgrade,
            upgrade_strategy="eager" if self.eager else "only-if-needed",
            prereleases=self.prereleases,
            no_deps=self.no_deps,
            ignore_installed=self.ignore_installed,
            force_reinstall=self.force_reinstall,
            releases=ReleaseControl(second=frozenset({self.only_final} - {""})),
            no_index=self.local,
            find_links=(str(wheels),) if self.local else (),
            allow_older_releases=True,  # as pip does, without a word
        )


def _requirements(marked: bool) -> st.SearchStrategy[str]:
    markers = ["", "", "; extra == 'x'", "; extra == 'y'", "; python_version < '3'"]
    return st.builds(
        "{}{}{}{}".format,
        st.sampled_from(PROJECTS),
        st.sampled_from(["", "", "", "[x]", "[x,y]", "[z]"]),
        st.sampled_from(SPECIFIERS),
        st.sampled_from(markers if marked else [""]),
    )


def _releases(draw: st.DrawFn, versions: Sequence[str]) -> tuple[Release, ...]:
    return tuple(
        Release(
            project,
            version,
            tuple(draw(st.lists(_requirements(marked=True), max_size=3))),
            draw(st.sampled_from([None, None, None, ">=3.8", "<3.8"])),
        )
        for project in PROJECTS
        for version in draw(st.lists(st.sampled_from(versions), unique=True, max_size=3))
    )


@st.composite
def scenarios(draw: st.DrawFn) -> Scenario:
    installed = {one.project: one for one in _releases(draw, VERSIONS)}
    prereleases = draw(st.sampled_from([False, False, True]))
    return Scenario(
        releases=_releases(draw, VERSIONS),
        installed=tuple(installed.values()) if draw(st.booleans()) else (),
        asked=tuple(draw(st.lists(_requirements(marked=False), min_size=1, max_size=3))),
        constraints=tuple(
            f"{draw(st.sampled_from(PROJECTS))}{draw(st.sampled_from(SPECIFIERS))}"
            for _ in range(draw(st.sampled_from([0, 0, 1, 2])))
        ),
        upgrade=draw(st.booleans()),
        prereleases=prereleases,
        no_deps=draw(st.sampled_from([False, False, False, True])),
        eager=draw(st.booleans()),
        ignore_installed=draw(st.sampled_from([False, False, False, True])),
        force_reinstall=draw(st.sampled_from([False, False, False, True])),
        # pip refuses --pre beside it.
        only_final="" if prereleases else draw(st.sampled_from(["", "", *PROJECTS])),
        local=draw(st.booleans()),
    )


def _line(one: SatisfiedRequirement) -> str:
    """As pip prints it."""
    source = f" (from {one.comes_from})" if one.comes_from else ""
    return (
        f"Requirement already satisfied: {one.requirement} in {one.location}{source}"
        f" ({one.version})"
    )


@given(scenario=scenarios())
@settings(max_examples=40, derandomize=True, phases=[Phase.explicit, Phase.generate])
def test_any_small_world_is_resolved_as_pip_resolves_it(pip: Pip, scenario: Scenario) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        wheels, site = Path(scratch) / "wheels", Path(scratch) / "site"
        wheels.mkdir()
        site.mkdir()
        for release in scenario.releases:
            release.make(wheels)
        for release in scenario.installed:
            install(site, release.project, release.version, release.requires, ("x", "y"))
        limits = Path(scratch) / "limits.txt"
        limits.write_text("\n".join(scenario.constraints))
        theirs, said = pip(
            "--find-links",
            str(wheels),
            "-c",
            str(limits),
            *scenario.flags(),
            *scenario.asked,
            site=site,
        )
        index = UntouchableIndex() if scenario.local else FakeIndex()
        index.add_folder(wheels)
        options = scenario.options(wheels)
        asked = read_requirements(scenario.asked, constraint_files=[str(limits)])
        try:
            chosen = resolve(asked, environment(site), index, options)
        except ResolutionError as error:
            assert theirs is None, f"pip finds {theirs}, but: {error}"
        else:
            assert sorted(pins(chosen)) == theirs, said
            assert {_line(one) for one in chosen.satisfied} <= set(said.splitlines()), said


def test_the_order_of_installation_is_that_of_pip(tmp_path: Path) -> None:
    """Cycles, extras and ties included; pip tells it only when it really installs."""
    wheels = tmp_path / "wheels"
    requires = {
        "top": ["left", "right[more]", "ring1"],
        "left": ["deep", "bottom"],
        "right": ["bottom", "extra; extra == 'more'"],
        "deep": ["deeper"],
        "deeper": ["bottom"],
        "ring1": ["ring2"],
        "ring2": ["ring3", "deep"],
        "ring3": ["ring1"],
        "extra": ["zeta", "alpha"],
    }
    for name in (*requires, "bottom", "zeta", "alpha", "single"):
        make_wheel(wheels, name, "1.0", requires.get(name, ()), extras=("more",))
    said = subprocess.run(
        [
            *(sys.executable, "-m", "pip", "--isolated", "install", "--no-index", "--no-compile"),
            *("--find-links", wheels, "--target", tmp_path / "target", "single", "top"),
        ],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    line = next(line for line in said.splitlines() if line.startswith("Installing collected"))
    index = FakeIndex()
    index.add_folder(wheels)
    asked = read_requirements(["single", "top"])
    chosen = resolve(asked, environment(), index, ResolveOptions())
    assert [file.project for file in chosen.install] == line.partition(": ")[2].split(", ")
