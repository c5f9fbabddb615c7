#!/usr/bin/env python3
"""Does `securepip install` install what `pip install` installs? For real, set after set.

    python scripts/parity.py [--scratch DIR] [SET…]

A SET is one argument: requirements separated by blanks ("flask 'sqlalchemy>=2'"), or the path of a
requirements file. Without arguments: the five sets below.

For each set: a new repository signs what the index that pip here uses offers for it (`repo sync
--with-dependencies`), and serves it; plain pip, configured as on this machine, installs the set
into one new environment, securepip into another. Then the names and versions of both are compared.
Each difference is printed with what the repository signs of that project. Exit code 1 when a set
differs.

Run it with a Python that has securepip installed. It keeps to its scratch folder, and starts over
each time; pip's own cache is used as always.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shlex
import shutil
import subprocess
import sys
import time
import venv
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import distributions
from pathlib import Path

from packaging.utils import canonicalize_name

CHECKOUT = Path(__file__).resolve().parent.parent
SETS = ("flask", "pandas", "jupyterlab", "boto3", "django[argon2]")
LIMIT_SECONDS = 1800


@dataclass(frozen=True)
class Side:
    """What one installer did: its name, how it ended, what it said, what is installed then."""

    name: str
    code: int
    said: str
    installed: Mapping[str, str]
    seconds: float


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--scratch", type=Path, default=CHECKOUT / "scratch" / "parity")
    parser.add_argument("sets", nargs="*", metavar="SET")
    arguments = parser.parse_args()
    different = [
        text for text in arguments.sets or SETS if not is_equal(text, arguments.scratch.absolute())
    ]
    print(f"\n{len(different)} different" if different else "\nAll equal.")
    return 1 if different else 0


def is_equal(text: str, scratch: Path) -> bool:
    """Compare one set, and print what was found."""
    print(f"\n== {text}", flush=True)
    for name in ("data", "cache", "repository", "by-pip", "by-securepip"):
        shutil.rmtree(scratch / name, ignore_errors=True)
    scratch.mkdir(parents=True, exist_ok=True)
    environment = {
        **os.environ,
        "SECUREPIP_DATA_DIR": str(scratch / "data"),
        "SECUREPIP_CACHE_DIR": str(scratch / "cache"),
    }
    words = ["-r", text] if Path(text).is_file() else shlex.split(text)
    repository = scratch / "repository"
    securepip = [sys.executable, "-m", "securepip"]
    must([*securepip, "repo", "init", str(repository), "--expected-files", "20000"], environment)
    began = time.monotonic()
    # pip here reads its find-links setting too.
    sync = ["repo", "sync", str(repository), *words, "--with-dependencies", "--find-links"]
    # Exit code 1 says that something could not be signed, which may well be of no importance here.
    print(must([*securepip, *sync], environment, codes=(0, 1)).strip())
    print(f"signed in {time.monotonic() - began:.0f} s", flush=True)
    root = repository / "metadata" / "1.root.json"
    fingerprint = hashlib.sha256(root.read_bytes()).hexdigest()
    with serving([*securepip, "repo", "serve", str(repository)], environment) as url:
        trust = ["trust", "add", "parity", url, "--root-sha256", fingerprint]
        must([*securepip, *trust], environment)
        pip = [sys.executable, "-m", "pip"]
        plain = install("pip", pip, words, scratch, dict(os.environ))
        verified = install("securepip", securepip, words, scratch, environment)
    return show(plain, verified, repository)


def install(
    name: str,
    command: Sequence[str],
    words: Sequence[str],
    scratch: Path,
    environment: Mapping[str, str],
) -> Side:
    """Install into a new environment that holds nothing, not even pip."""
    target = scratch / f"by-{name}"
    venv.create(target, with_pip=False, symlinks=os.name != "nt")
    began = time.monotonic()
    done = subprocess.run(
        [*command, "--python", str(target), "install", *words],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=LIMIT_SECONDS,
    )
    seconds = time.monotonic() - began
    said = f"{done.stdout}\n{done.stderr}" if done.returncode else done.stderr
    return Side(name, done.returncode, said, installed_in(target), seconds)


def installed_in(target: Path) -> dict[str, str]:
    libraries = [str(folder) for folder in target.glob("[Ll]ib*/**/site-packages")]
    return {canonicalize_name(d.metadata["Name"]): d.version for d in distributions(path=libraries)}


def show(plain: Side, verified: Side, repository: Path) -> bool:
    """Print equal or what differs; True when nothing does and both ended well."""
    for side in (plain, verified):
        print(f"{side.name}: {len(side.installed)} distributions in {side.seconds:.1f} s")
        if side.code:
            print(f"{side.name} failed with exit code {side.code}:")
            print("\n".join(f"    {line}" for line in side.said.strip().splitlines()[-12:]))
    names = sorted(plain.installed.keys() | verified.installed.keys())
    differing = [n for n in names if plain.installed.get(n) != verified.installed.get(n)]
    if plain.code or verified.code:
        print("DIFFERENT" if plain.code != verified.code else "BOTH FAILED")
        return False
    for name in differing:
        wanted, got = plain.installed.get(name), verified.installed.get(name)
        print(f"  {name}: pip {wanted}, securepip {got}; {signed(repository, name, wanted)}")
    print("DIFFERENT" if differing else "equal", flush=True)
    return not differing


def signed(repository: Path, project: str, version: str | None) -> str:
    """What the repository signs of a project, in the words that explain a difference."""
    try:
        page = json.loads((repository / "simple" / project / "index.json").read_bytes())
    except FileNotFoundError:
        return "the repository does not sign this project: sync did not find it"
    if version is None:
        return "pip does not want it"
    if version not in page["versions"]:
        return f"the repository does not sign {version}"
    return f"the repository signs {version}: the resolver decided"


@contextmanager
def serving(command: Sequence[str], environment: Mapping[str, str]) -> Iterator[str]:
    """Yields the URL that `repo serve` prints."""
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as server:
        try:
            line = server.stdout.readline() if server.stdout else ""
            yield next(word for word in line.split() if word.startswith("http://"))
        finally:
            server.terminate()


def must(
    command: Sequence[str], environment: Mapping[str, str], codes: Sequence[int] = (0,)
) -> str:
    """Run a command that has to end with one of the exit codes; what it says."""
    done = subprocess.run(
        command,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode not in codes:
        print(f"{shlex.join(command)}\n{done.stdout}")
        sys.exit(2)
    return done.stdout


if __name__ == "__main__":
    sys.exit(main())
