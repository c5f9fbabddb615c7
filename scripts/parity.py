#!/usr/bin/env python3
"""Does securepip choose what pip chooses? Set after set, over one frozen index of real packages.

    python scripts/parity.py [--scratch DIR] [--only-sets WORD] [--trees] [FILE…]
    python scripts/parity.py --only-files --trees requirements.txt

A set is a requirements file: those in `parity_sets`, and each FILE (or folder of them). With
`--only-files` yours alone are compared. A line `# options: …` in it holds options of the command
line. Each set is resolved as it is and, where it does not choose between wheels and source
distributions itself, with `--only-binary :all:` too.

1. Freezing: plain pip resolves each set once over a local index that keeps what it asks for of the
   index that pip here is configured for. What was frozen before is not fetched again.
2. Signing: `repo sync` signs that local index into a repository.
3. Comparing: for each set, pip reads the frozen index and securepip the repository, both with
   `install --dry-run --report`, empty caches and an empty environment. Names, versions, file names,
   digests, metadata, what was requested with which extras, and the order have to be the same; where
   there is no solution, so has the error.

4. With `--trees`, where the choice is equal: both install it, into an environment at the same path.
   Every file that is left there has to be the same; of byte code, which holds times, its name.

Printed for each set: whether it is equal, each difference with what it comes from, the rounds of
both resolutions, and both times. Exit code 1 when a set differs.

Run it with any Python of 3.10 or newer: without securepip it makes itself an environment. It keeps
to its scratch folder.
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

HERE = Path(__file__).resolve().parent
BIN = "Scripts" if os.name == "nt" else "bin"
LIMIT_SECONDS = 900
SECUREPIP = [sys.executable, "-m", "securepip"]
WHEELS_ONLY = ("--only-binary", ":all:")
_ROUND = re.compile(r"Reporter\.starting_round\(")


@dataclass(frozen=True)
class Set:
    """What is resolved: a requirements file, and options of the command line."""

    path: Path
    options: tuple[str, ...]

    @property
    def name(self) -> str:
        """What it is called in the output."""
        return " ".join((self.path.stem, *self.options))

    def words(self) -> list[str]:
        """What both installers are given."""
        return ["-r", str(self.path), *self.options]

    def key(self) -> str:
        """Of what freezing it depends on."""
        parts = (self.path.read_text(), self.name, sys.version)
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()


@dataclass(frozen=True)
class Side:
    """What one installer did.

    Attributes:
        code: Its exit code.
        errors: What it says after "ERROR:".
        items: The items of its report, by project and in its order.
        rounds: Of its resolution.
        seconds: How long it took.
    """

    code: int
    errors: tuple[str, ...]
    items: Mapping[str, Mapping[str, Any]]
    rounds: int
    seconds: float


@dataclass
class Total:
    """How many sets were equal, which were not, and what they took."""

    equal: int = 0
    different: list[str] = field(default_factory=list)
    pip_seconds: float = 0
    our_seconds: float = 0


class Ground:
    """The scratch folder, and how the installers are run in it."""

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
        """What pip chooses. ``steps``: whether it says each, which counts rounds and takes time."""
        return self._run([*self._pip(), "--index-url", index_url, *one.words()], steps=steps)

    def securepip(self, one: Set) -> Side:
        """What securepip chooses."""
        return self._run([*self._securepip(), *one.words()], steps=True)

    def trees(self, one: Set, index_url: str) -> tuple[Mapping[str, str], Mapping[str, str]]:
        """What pip, and what securepip leaves in an empty environment: files and their digests."""
        options = ("--no-warn-script-location", *one.words())
        pip = self._tree([*self._pip(), "--index-url", index_url, *options])
        own = self._tree([*self._securepip(), *options])
        self._empty()
        return pip, own

    def _tree(self, command: Sequence[str]) -> Mapping[str, str]:
        self._empty()
        done = subprocess.run(
            command, env=self.environment, capture_output=True, text=True, check=False
        )
        files = (path for path in self.target.rglob("*") if path.is_file())
        found = {path.relative_to(self.target).as_posix(): _content(path) for path in sorted(files)}
        errors = done.stderr.strip().splitlines()[-1:] if done.returncode else []
        return {**found, "exit code": f"{done.returncode} {' '.join(errors)}".strip()}

    def _empty(self) -> None:
        shutil.rmtree(self.target, ignore_errors=True)
        venv.create(self.target, with_pip=False, symlinks=os.name != "nt")

    def _securepip(self) -> list[str]:
        # As pip, which says nothing when it passes over a release.
        return [*SECUREPIP, "--python", str(self.target), "install", "--allow-older-releases"]

    def _pip(self) -> list[str]:
        pip = importlib.util.find_spec("pip")
        assert pip and pip.submodule_search_locations
        # What `pip --python` runs with the target's interpreter, without starting twice.
        runner = Path(pip.submodule_search_locations[0], "__pip-runner__.py")
        return [str(self.target / BIN / "python"), str(runner), "install"]

    def _run(self, command: Sequence[str], *, steps: bool) -> Side:
        for name in ("pip-cache", "cache"):
            shutil.rmtree(self.scratch / name, ignore_errors=True)
        report = self.scratch / "report.json"
        report.unlink(missing_ok=True)
        began = time.monotonic()
        try:
            done = subprocess.run(
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
            done.returncode,
            tuple(re.findall(r"^ERROR: (.*)$", f"{done.stdout}\n{done.stderr}", re.MULTILINE)),
            {re.sub(r"[-_.]+", "-", item["metadata"]["name"]).lower(): item for item in items},
            len(_ROUND.findall(done.stdout + done.stderr)),
            seconds,
        )

    def must(self, *command: str) -> str:
        """Run a command of securepip's that has to succeed; what it says."""
        done = subprocess.run(
            [*SECUREPIP, *command],
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        if done.returncode:
            sys.exit(f"securepip {shlex.join(command)}\n{done.stdout}")
        return done.stdout


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
    """Run this program again, where securepip is installed."""
    own = scratch / "securepip-env"
    if not (own / "pyvenv.cfg").exists():
        venv.create(own, with_pip=True, symlinks=os.name != "nt")
    python = str(own / BIN / "python")
    subprocess.run([python, "-m", "pip", "install", "--quiet", "-e", str(HERE.parent)], check=True)
    return subprocess.run([python, *sys.argv], check=False).returncode


def all_sets(places: Sequence[Path]) -> Iterator[Set]:
    """The sets of these files and folders; twice where both kinds of files may be chosen."""
    for place in places:
        for path in sorted(place.glob("*.txt")) if place.is_dir() else [place]:
            text = path.read_text()
            found = re.search(r"(?m)^# options: (.*)$", text)
            options = tuple(shlex.split(found[1])) if found else ()
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
        # The same port each time, where it is free: files are signed with their addresses.
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
    """See to it that everything pip needs for the sets is kept; its rounds for each set."""
    folder = ground.scratch / "frozen" / "sets"
    folder.mkdir(exist_ok=True)
    rounds = {}
    for one in sets:
        done = folder / one.key()
        if not done.exists():
            print(f"freezing {one.name} …", end="", flush=True)
            side = ground.pip(one, url, steps=True)
            print(f" {side.seconds:.0f} s", flush=True)
            done.write_text(str(side.rounds))
        rounds[one.name] = int(done.read_text())
    return rounds


def sign(projects: Sequence[str], ground: Ground, url: str) -> None:
    """Sign the frozen index."""
    began = time.monotonic()
    keys = ground.scratch / "keys"
    if not (ground.repository / "metadata" / "timestamp.json").exists():
        shutil.rmtree(ground.repository, ignore_errors=True)
        shutil.rmtree(keys, ignore_errors=True)
        ground.must(
            "repo", "init", str(ground.repository), "--expected-files", "100000",
            "--keys", str(keys / "online"), "--offline-keys", str(keys / "offline"),
        )  # fmt: skip
    said = ground.must(
        "repo", "sync", str(ground.repository), "--upstream", url,
        "--keys", str(keys / "online"), *projects,
    )  # fmt: skip
    print(f"signed in {time.monotonic() - began:.0f} s: {said.strip().splitlines()[-1]}")


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
    """Compare one set, and print what was found."""
    theirs, ours = ground.pip(one, url, steps=False), ground.securepip(one)
    found = list(differences(theirs, ours, ground.repository))
    if ours.rounds > rounds:
        found.append(f"takes {ours.rounds} rounds, pip {rounds}")
    if trees and not found and not theirs.code:
        pip, own = ground.trees(one, url)
        names = sorted(name for name in pip.keys() | own.keys() if pip.get(name) != own.get(name))
        found += [f"{name}: pip {pip.get(name)}, securepip {own.get(name)}" for name in names]
    verdict = "DIFFERENT" if found else "equal"
    what = f"{len(theirs.items)} distributions" if not theirs.code else "no solution"
    times = f"{theirs.seconds:5.1f} s {ours.seconds:5.1f} s, {ours.seconds / theirs.seconds:.2f}"
    print(f"{verdict:9} {one.name:50} {what:18} rounds {rounds} {ours.rounds}, {times}", flush=True)
    for line in found:
        print(f"    {line}")
    total.pip_seconds += theirs.seconds
    total.our_seconds += ours.seconds
    if found:
        total.different.append(one.name)
    else:
        total.equal += 1


def differences(theirs: Side, ours: Side, repository: Path) -> Iterator[str]:
    """Each difference, in words."""
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
    """Of one item of both reports: the same version of a project."""
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
    """Each field of the metadata, of both."""
    one, other = wanted["metadata"], got["metadata"]
    for key in sorted(one.keys() | other.keys()):
        yield key, one.get(key), other.get(key)


def filename(item: Mapping[str, Any]) -> str:
    return unquote(urlsplit(item["download_info"]["url"]).path.rpartition("/")[2])


def digests(item: Mapping[str, Any]) -> object:
    return item["download_info"].get("archive_info", {}).get("hashes")


def signed(repository: Path, project: str, wanted: Mapping[str, Any] | None) -> str:
    """What the repository signs of a project, in the words that explain a difference."""
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
