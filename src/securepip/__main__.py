"""``python -m securepip``."""

import sys

from securepip.cli import main

if __name__ == "__main__":
    sys.exit(main())
