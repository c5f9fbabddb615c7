"""Runs pip again and again in one process: one command line and its path as JSON per line.

Run as a program. ``site`` is put on the path, so that pip finds what is installed there.
"""

from __future__ import annotations

import contextlib
import io
import json
import sys


def main() -> None:
    """Answer each line with pip's exit status and what it printed."""
    from pip._internal.cli.main import main as pip

    answers, path = sys.stdout, list(sys.path)
    for line in sys.stdin:
        work = json.loads(line)
        sys.path[:] = [work["site"], *path]
        said = io.StringIO()
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
            status = pip(work["arguments"])
        print(json.dumps({"status": status, "said": said.getvalue()}), file=answers, flush=True)


if __name__ == "__main__":
    main()
