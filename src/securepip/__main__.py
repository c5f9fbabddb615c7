"""``python -m securepip``."""

import sys
from contextlib import suppress
from pathlib import Path

# As pip: `-m` puts the current folder first, and whatever lies there by the name of a library
# would run in its place.
with suppress(OSError):
    if sys.path[0] in ("", str(Path.cwd())):
        del sys.path[0]

from securepip.cli import program

if __name__ == "__main__":
    program()
