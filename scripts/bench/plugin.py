"""Measures what the plugin costs: the start of Python, and commands of pip.

    python scripts/bench/plugin.py [--rounds N] [--python PYTHON]

Makes a virtual environment, enables the plugin there, and starts `python -c pass` by turns with and
without the plugin's start-up file. It prints the fastest and the median start of each, and a second
row without the plugin: a difference no greater than that between these two rows is not measurable.
Run it with a Python that has securepip installed. What the plugin adds to pip's commands is
measured by `install.py`, which has a server.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit

from server import must

_SECUREPIP = [sys.executable, "-m", "securepip"]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=400)
    parser.add_argument("--python", default=sys.executable)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        must([arguments.python, "-m", "venv", folder], dict(os.environ))
        must([*_SECUREPIP, "plugin", "enable", "--python", folder], dict(os.environ))
        (line,) = Path(folder).glob("lib/python*/site-packages/securepip-plugin.pth")
        away = line.with_suffix(".off")
        seconds: dict[str, list[float]] = {"without": [], "with": [], "without, again": []}
        for _ in range(arguments.rounds):
            for which, taken in seconds.items():
                if which != "with":
                    line.rename(away)
                begin = time.perf_counter()
                subprocess.run([f"{folder}/bin/python", "-c", "pass"], check=True)
                taken.append(time.perf_counter() - begin)
                if which != "with":
                    away.rename(line)
    for which, taken in seconds.items():
        fastest, median = min(taken) * 1000, statistics.median(taken) * 1000
        print(f"{which:16} fastest {fastest:6.2f} ms   median {median:6.2f} ms")
    return 0


def measure_commands(
    scratch: Path, securepip: Sequence[str], url: str, repository: Path, rounds: int
) -> None:
    """Print what the plugin adds to commands of pip that fetch something, and to others.

    Args:
        scratch: A folder for environments.
        securepip: The command line of securepip.
        url: The URL of the repository.
        repository: The folder of the repository.
        rounds: How many times each command runs with and without the plugin, by turns.
    """
    index = f"{url}simple/"
    with tempfile.TemporaryDirectory(dir=scratch) as temporary:
        folder = Path(temporary)
        variables = {
            **os.environ,
            "SECUREPIP_DATA_DIR": str(folder / "data"),
            "SECUREPIP_CACHE_DIR": str(folder / "cache"),
            "PIP_CACHE_DIR": str(folder / "pip-cache"),
            "PIP_CONFIG_FILE": os.devnull,
            "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        }
        fingerprint = hashlib.sha256((repository / "metadata/1.root.json").read_bytes()).hexdigest()
        must([*securepip, "trust", "add", "bench", url, "--root-sha256", fingerprint,
              "--index-url", index], variables)  # fmt: skip
        for name in ("without", "with"):
            venv.create(folder / name, with_pip=True)
        must([*securepip, "plugin", "enable", "--python", str(folder / "with")], variables)
        downloads = str(folder / "downloads")
        index_options = ["--index-url", index, "--trusted-host", urlsplit(url).netloc]
        commands = {
            "fetches: download": ["download", "--no-deps", "-d", downloads, *index_options, "six"],
            "does not: install what is there": ["install", *index_options, "pip"],
            "does not: list": ["list"],
        }
        print("\n| pip | without the plugin | with it | more |\n|---|---|---|---|")
        for name, words in commands.items():
            seconds: dict[str, list[float]] = {"without": [], "with": []}
            for _ in range(rounds):
                for which, taken in seconds.items():
                    shutil.rmtree(downloads, ignore_errors=True)
                    begin = time.perf_counter()
                    must([f"{folder / which}/bin/python", "-m", "pip", *words], variables)
                    taken.append(time.perf_counter() - begin)
            without, with_it = map(statistics.median, seconds.values())
            print(
                f"| {name} | {without:.3f} s | {with_it:.3f} s | {with_it - without:.3f} s |",
                flush=True,
            )


if __name__ == "__main__":
    sys.exit(main())
