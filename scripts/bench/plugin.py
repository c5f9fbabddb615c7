"""What the plugin costs a Python that has nothing to do with pip: its start, with and without.

    python scripts/bench/plugin.py [--rounds N] [--python PYTHON]

Makes a virtual environment, enables the plugin there, and starts `python -c pass` in turns with the
plugin's start-up line in place and out of the way. What differs is shown for the fastest start and
for the median, and beside it what differs between two halves of the starts without the plugin: less
than that is not measurable.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time

from securepip.plugin.environment import enable, find_environment


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=400)
    parser.add_argument("--python", default=sys.executable)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([arguments.python, "-m", "venv", folder], check=True)
        environment = find_environment(folder)
        enable(environment)
        line = environment.folder / "securepip-plugin.pth"
        away = line.with_suffix(".off")
        seconds: dict[str, list[float]] = {"without": [], "with": [], "without, again": []}
        for _ in range(arguments.rounds):
            for which, taken in seconds.items():
                if which != "with":
                    line.rename(away)
                begin = time.perf_counter()
                subprocess.run([environment.python, "-c", "pass"], check=True)
                taken.append(time.perf_counter() - begin)
                if which != "with":
                    away.rename(line)
    for which, taken in seconds.items():
        fastest, median = min(taken) * 1000, statistics.median(taken) * 1000
        print(f"{which:16} fastest {fastest:6.2f} ms   median {median:6.2f} ms")
    return 0


if __name__ == "__main__":
    sys.exit(main())
