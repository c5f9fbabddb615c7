#!/usr/bin/env python3
"""Checks whether securepip chooses what pip chooses, over a frozen index of real packages.

    python scripts/parity.py [--scratch DIR] [--only-sets WORD] [--trees] [FILE…]
    python scripts/parity.py --only-files --trees requirements.txt

A set is a requirements file: those in `parity_sets`, and each FILE (or folder of them). With
`--only-files`, only FILEs are compared. A line `# options: …` in it holds command line options.
Each set is resolved as it is and, unless it chooses between wheels and source distributions itself,
also with `--only-binary :all:`.

1. Freezing: pip resolves each set once over a local index, which keeps everything that it fetches
   from the index in pip's configuration. What was frozen before is not fetched again.
2. Signing: `repo sync` signs that local index into a repository.
3. Comparing: for each set, pip reads the frozen index and securepip the repository, both with
   `install --dry-run --report`, empty caches and an empty environment. Names, versions, file names,
   digests, metadata, what was requested with which extras, and the order must be the same; if there
   is no solution, the error must be.
4. With `--trees`, where the choice is equal: both install it, into an environment at the same path.
   The files must have the same contents; byte code, which contains times, only the same names.

For each set it prints whether it is equal, each difference and its cause, the number of rounds of
both resolutions, and both times. The exit code is 1 if a set differs.

Run it with Python 3.10 or newer. If securepip is not installed there, it makes an environment. It
only writes to its scratch folder.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import time
import venv
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from environments import make_environment

HERE = Path(__file__).resolve().parent
BIN = "Scripts" if os.name == "nt" else "bin"
LIMIT_SECONDS = 900
SECUREPIP = [sys.executable, "-m", "securepip"]
WHEELS_ONLY = ("--only-binary", ":all:")
_ROUND = re.compile(r"Reporter\.starting_round\(")


@dataclass(frozen=True)
class Set:
    """A requirements file to resolve, and command line options."""

    path: Path
    options: tuple[str, ...]

    @property
    def name(self) -> str:
        """Its name in the output."""
        return " ".join((self.path.stem, *self.options))

    def words(self) -> list[str]:
        """The command line words for both installers."""
        return ["-r", str(self.path), *self.options]

    def key(self) -> str:
        """A hash of everything that freezing it depends on."""
        parts = (self.path.read_text(), self.name, sys.version)
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()


@dataclass(frozen=True)
class Side:
    """The result of one installer.

    Attributes:
        code: Its exit code.
        errors: The texts of its lines that begin with "ERROR:".
        items: The items of its report by project, in the report's order.
        rounds: The number of rounds of its resolution.
        seconds: How long it took.
    """

    code: int
    errors: tuple[str, ...]
    items: Mapping[str, Mapping[str, Any]]
    rounds: int
    seconds: float


@dataclass
class Total:
    """How many sets were equal, which were not, and how long they took."""

    equal: int = 0
    different: list[str] = field(default_factory=list)
    pip_seconds: float = 0
    our_seconds: float = 0


class Ground:
    """Runs the installers in the scratch folder."""

    def __init__(self, scratch: Path) -> None:
        self.scratch = scratch
        self.repository = scratch / "repository"
        self.target = scratch / "target"
        self.environment = {
            **{key: value for key, value in os.environ.items() if not key.startswith("PIP_")},
            "PIP_CONFIG_FILE": os.devnull,
            "PIP_CACHE_DIR": str(scratch / "pip-cache"),
            "PIP_DISABLE_PIP_VERSION_CHECK": "1",
            "PIP_NO_INPUT": "1",
            "SECUREPIP_DATA_DIR": str(scratch / "data"),
            "SECUREPIP_CACHE_DIR": str(scratch / "cache"),
        }
        shutil.rmtree(scratch / "data", ignore_errors=True)
        self._empty()

    def pip(self, one: Set, index_url: str, *, steps: bool) -> Side:
        """Resolve with pip. ``steps`` has it print each step: this counts rounds, and is slower."""
        return self._run([*self._pip(), "--index-url", index_url, *one.words()], steps=steps)

    def securepip(self, one: Set) -> Side:
        """Resolve with securepip."""
        return self._run([*self._securepip(), *one.words()], steps=True)

    def trees(self, one: Set, index_url: str) -> tuple[Mapping[str, str], Mapping[str, str]]:
        """Install with pip and with securepip; the digests of all files that each leaves behind."""
        options = ("--no-warn-script-location", *one.words())
        pip = self._tree([*self._pip(), "--index-url", index_url, *options])
        own = self._tree([*self._securepip(), *options])
        self._empty()
        return pip, own

    def _tree(self, command: Sequence[str]) -> Mapping[str, str]:
        self._empty()
        process = subprocess.run(
            command, env=self.environment, capture_output=True, text=True, check=False
        )
        files = (path for path in self.target.rglob("*") if path.is_file())
        tree = {path.relative_to(self.target).as_posix(): _content(path) for path in sorted(files)}
        errors = process.stderr.strip().splitlines()[-1:] if process.returncode else []
        return {**tree, "exit code": f"{process.returncode} {' '.join(errors)}".strip()}

    def _empty(self) -> None:
        shutil.rmtree(self.target, ignore_errors=True)
        venv.create(self.target, with_pip=False, symlinks=os.name != "nt")

    def _securepip(self) -> list[str]:
        # As in pip, which passes over a release that cannot be used.
        return [*SECUREPIP, "--python", str(self.target), "install", "--allow-older-releases"]

    def _pip(self) -> list[str]:
        pip = importlib.util.find_spec("pip")
        assert pip and pip.submodule_search_locations
        # `pip --python` runs the same file, but starts two interpreters.
        runner = Path(pip.submodule_search_locations[0], "__pip-runner__.py")
        return [str(self.target / BIN / "python"), str(runner), "install"]

    def _run(self, command: Sequence[str], *, steps: bool) -> Side:
        for name in ("pip-cache", "cache"):
            shutil.rmtree(self.scratch / name, ignore_errors=True)
        report = self.scratch / "report.json"
        report.unlink(missing_ok=True)
        began = time.monotonic()
        try:
            process = subprocess.run(
                [*command, "--dry-run", "--report", str(report)],
                env={**self.environment, **({"PIP_RESOLVER_DEBUG": "1"} if steps else {})},
                capture_output=True,
                text=True,
                check=False,
                timeout=LIMIT_SECONDS,
            )
        except subprocess.TimeoutExpired:
            return Side(-1, (f"no end after {LIMIT_SECONDS} s",), {}, 0, LIMIT_SECONDS)
        seconds = time.monotonic() - began
        items = json.loads(report.read_bytes())["install"] if report.exists() else []
        return Side(
            process.returncode,
            tuple(
                re.findall(r"^ERROR: (.*)$", f"{process.stdout}\n{process.stderr}", re.MULTILINE)
            ),
            {re.sub(r"[-_.]+", "-", item["metadata"]["name"]).lower(): item for item in items},
            len(_ROUND.findall(process.stdout + process.stderr)),
            seconds,
        )

    def must(self, *command: str) -> str:
        """Run a command of securepip that must succeed; returns its output."""
        process = subprocess.run(
            [*SECUREPIP, *command],
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        if process.returncode:
            sys.exit(f"securepip {shlex.join(command)}\n{process.stdout}")
        return process.stdout


def _content(path: Path) -> str:
    return "" if path.suffix == ".pyc" else hashlib.sha256(path.read_bytes()).hexdigest()


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--scratch", type=Path, default=HERE.parent / "scratch" / "parity")
    parser.add_argument("--only-sets", metavar="WORD", default="", help="whose names contain WORD")
    parser.add_argument("--only-files", action="store_true", help="not those of parity_sets")
    parser.add_argument("--trees", action="store_true", help="install, too, and compare files")
    parser.add_argument("files", nargs="*", type=Path, metavar="FILE")
    arguments = parser.parse_args()
    scratch = arguments.scratch.absolute()
    if importlib.util.find_spec("securepip") is None:
        return in_own_environment(scratch)
    places = [*([] if arguments.only_files else [HERE / "parity_sets"]), *arguments.files]
    sets = [one for one in all_sets(places) if arguments.only_sets in one.name]
    return compare_all(sets, Ground(scratch), trees=arguments.trees)


def in_own_environment(scratch: Path) -> int:
    """Run this program again, in an environment with securepip."""
    own = scratch / "securepip-env"
    make_environment(own)
    python = str(own / BIN / "python")
    subprocess.run([python, "-m", "pip", "install", "--quiet", "-e", str(HERE.parent)], check=True)
    return subprocess.run([python, *sys.argv], check=False).returncode


def all_sets(places: Sequence[Path]) -> Iterator[Set]:
    """The sets in these files and folders; each a second time with wheels only, if that differs."""
    for place in places:
        for path in sorted(place.glob("*.txt")) if place.is_dir() else [place]:
            text = path.read_text()
            match = re.search(r"(?m)^# options: (.*)$", text)
            options = tuple(shlex.split(match[1])) if match else ()
            yield Set(path, options)
            if "-binary" not in f"{text} {options}":
                yield Set(path, (*options, *WHEELS_ONLY))


def compare_all(sets: Sequence[Set], ground: Ground, *, trees: bool) -> int:
    from parity_index import FrozenIndex, serving

    from securepip.signing.overlay.upstream.pip_configuration import read_pip_configuration

    pip = read_pip_configuration()
    web = tuple(url for url in pip.indexes if url.startswith("http"))
    index = FrozenIndex(ground.scratch / "frozen", web, pip.transport)
    port = ground.scratch / "port"
    with serving(index, int(port.read_text()) if port.exists() else 0) as url:
        # The same port each time, if it is free: the signed addresses of files contain it.
        port.write_text(str(urlsplit(url).port))
        index.recording = True
        rounds = freeze(sets, ground, url)
        index.recording = False
        sign(index.projects(), ground, url)
        total = Total()
        with trusted(ground):
            for one in sets:
                compare(one, ground, url, rounds[one.name], total, trees=trees)
    print(f"\n{total.equal} of {len(sets)} equal; in all pip {total.pip_seconds:.0f} s, ", end="")
    print(f"securepip {total.our_seconds:.0f} s")
    for name in total.different:
        print(f"DIFFERENT: {name}")
    return 1 if total.different else 0


def freeze(sets: Sequence[Set], ground: Ground, url: str) -> dict[str, int]:
    """Resolve the sets with pip, so that the index keeps what they need; the rounds of each."""
    folder = ground.scratch / "frozen" / "sets"
    folder.mkdir(exist_ok=True)
    rounds = {}
    for one in sets:
        record = folder / one.key()
        if not record.exists():
            print(f"freezing {one.name} …", end="", flush=True)
            side = ground.pip(one, url, steps=True)
            print(f" {side.seconds:.0f} s", flush=True)
            record.write_text(str(side.rounds))
        rounds[one.name] = int(record.read_text())
    return rounds


def sign(projects: Sequence[str], ground: Ground, url: str) -> None:
    """Sign the frozen index into the repository."""
    began = time.monotonic()
    keys = ground.scratch / "keys"
    if not (ground.repository / "metadata" / "timestamp.json").exists():
        shutil.rmtree(ground.repository, ignore_errors=True)
        shutil.rmtree(keys, ignore_errors=True)
        ground.must(
            "repo", "init", str(ground.repository), "--expected-files", "100000",
            "--keys", str(keys / "online"), "--offline-keys", str(keys / "offline"),
        )  # fmt: skip
    output = ground.must(
        "repo", "sync", str(ground.repository), "--upstream", url,
        "--keys", str(keys / "online"), *projects,
    )  # fmt: skip
    print(f"signed in {time.monotonic() - began:.0f} s: {output.strip().splitlines()[-1]}")


@contextmanager
def trusted(ground: Ground) -> Iterator[None]:
    """Serve the repository, and trust it."""
    command = [*SECUREPIP, "repo", "serve", str(ground.repository)]
    root = (ground.repository / "metadata" / "1.root.json").read_bytes()
    with subprocess.Popen(
        command, env=ground.environment, stdout=subprocess.PIPE, text=True
    ) as server:
        try:
            line = server.stdout.readline() if server.stdout else ""
            url = next(word for word in line.split() if word.startswith("http://"))
            fingerprint = hashlib.sha256(root).hexdigest()
            ground.must("trust", "add", "parity", url, "--root-sha256", fingerprint)
            yield
        finally:
            server.terminate()


def compare(one: Set, ground: Ground, url: str, rounds: int, total: Total, *, trees: bool) -> None:
    """Compare one set, and print the result."""
    theirs, ours = ground.pip(one, url, steps=False), ground.securepip(one)
    differing = list(differences(theirs, ours, ground.repository))
    if ours.rounds > rounds:
        differing.append(f"takes {ours.rounds} rounds, pip {rounds}")
    if trees and not differing and not theirs.code:
        pip, own = ground.trees(one, url)
        names = sorted(name for name in pip.keys() | own.keys() if pip.get(name) != own.get(name))
        differing += [f"{name}: pip {pip.get(name)}, securepip {own.get(name)}" for name in names]
    verdict = "DIFFERENT" if differing else "equal"
    what = f"{len(theirs.items)} distributions" if not theirs.code else "no solution"
    times = f"{theirs.seconds:5.1f} s {ours.seconds:5.1f} s, {ours.seconds / theirs.seconds:.2f}"
    print(f"{verdict:9} {one.name:50} {what:18} rounds {rounds} {ours.rounds}, {times}", flush=True)
    for line in differing:
        print(f"    {line}")
    total.pip_seconds += theirs.seconds
    total.our_seconds += ours.seconds
    if differing:
        total.different.append(one.name)
    else:
        total.equal += 1


def differences(theirs: Side, ours: Side, repository: Path) -> Iterator[str]:
    """A line for each difference."""
    if theirs.code != ours.code:
        for name, side in (("pip", theirs), ("securepip", ours)):
            yield f"{name} ends with {side.code}: {side.errors[-1:] or 'no error'}"
        return
    if theirs.code and theirs.errors[-1:] != ours.errors[-1:]:
        yield f"pip says {theirs.errors[-1:]}, securepip {ours.errors[-1:]}"
    for project in sorted(theirs.items.keys() | ours.items.keys()):
        wanted, got = theirs.items.get(project), ours.items.get(project)
        if wanted is None or got is None:
            name = "pip" if got is None else "securepip"
            yield f"{project}: only {name} chooses it; {signed(repository, project, wanted)}"
        elif wanted["metadata"]["version"] != got["metadata"]["version"]:
            versions = (wanted["metadata"]["version"], got["metadata"]["version"])
            origin = signed(repository, project, wanted)
            yield f"{project}: pip {versions[0]}, securepip {versions[1]}; {origin}"
        else:
            yield from item_differences(project, wanted, got)
    if list(theirs.items) != list(ours.items) and theirs.items.keys() == ours.items.keys():
        pairs = zip(theirs.items, ours.items, strict=True)
        first = next(pair for pair in pairs if pair[0] != pair[1])
        yield f"the order: pip has {first[0]} where securepip has {first[1]}"


def item_differences(
    project: str, wanted: Mapping[str, Any], got: Mapping[str, Any]
) -> Iterator[str]:
    """The differences between the items of one project, of the same version, in both reports."""
    for key, one, other in (
        ("file", filename(wanted), filename(got)),
        ("digest", digests(wanted), digests(got)),
        *((key, wanted.get(key), got.get(key)) for key in _COMPARED),
        *metadata_of(wanted, got),
    ):
        if one != other:
            yield f"{project}: {key}: pip {one!r:.300}, securepip {other!r:.300}"


_COMPARED = ("is_direct", "is_yanked", "requested", "requested_extras")


def metadata_of(
    wanted: Mapping[str, Any], got: Mapping[str, Any]
) -> Iterator[tuple[str, object, object]]:
    """The name of each field of the metadata, with both values."""
    one, other = wanted["metadata"], got["metadata"]
    for key in sorted(one.keys() | other.keys()):
        yield key, one.get(key), other.get(key)


def filename(item: Mapping[str, Any]) -> str:
    return unquote(urlsplit(item["download_info"]["url"]).path.rpartition("/")[2])


def digests(item: Mapping[str, Any]) -> object:
    return item["download_info"].get("archive_info", {}).get("hashes")


def signed(repository: Path, project: str, wanted: Mapping[str, Any] | None) -> str:
    """An explanation of a difference, by what the repository signs of the project."""
    try:
        page = json.loads((repository / "simple" / project / "index.json").read_bytes())
    except FileNotFoundError:
        return "it is not signed, because pip never asked for it"
    if wanted is None:
        return "pip does not want it"
    if filename(wanted) not in {file["filename"] for file in page["files"]}:
        return f"{filename(wanted)} is not signed"
    return "both could choose it: the resolvers decided"


if __name__ == "__main__":
    sys.exit(main())
