"""``python -m securepip``."""

import sys
from contextlib import suppress
from pathlib import Path

# As pip does. `-m` puts the current folder first in the path, and a file there that has the name
# of a library would run in the library's place.
with suppress(OSError):
    if sys.path[0] in ("", str(Path.cwd())):
        del sys.path[0]

from securepip.cli import program

if __name__ == "__main__":
    program()
