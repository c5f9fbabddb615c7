"""Prints `pylock.toml` as requirements with hashes, which every version of pip can read.

python scripts/locked.py > locked.txt
python -m pip install --require-hashes --only-binary :all: -r locked.txt
python -m pip install --no-deps --no-build-isolation .
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

if sys.version_info >= (3, 11):
    import tomllib
else:  # Python 3.10 has no `tomllib`; pip, which is needed anyway, includes a copy
    from pip._vendor import tomli as tomllib

LOCK = Path(__file__).resolve().parent.parent / "pylock.toml"


def main() -> int:
    for package in read_lock()["packages"]:
        marker = f" ; {package['marker']}" if "marker" in package else ""
        hashes = "".join(f" --hash=sha256:{file['hashes']['sha256']}" for file in files_of(package))
        print(f"{package['name']}=={package['version']}{marker}{hashes}")
    return 0


def read_lock() -> dict[str, Any]:
    """The contents of `pylock.toml`."""
    return tomllib.loads(LOCK.read_text())


def files_of(package: dict[str, Any]) -> list[dict[str, Any]]:
    """All files of a package in the lock."""
    return [*package.get("wheels", []), *filter(None, [package.get("sdist")])]


if __name__ == "__main__":
    sys.exit(main())
