"""``built``, an sdist, and ``maker``, its build backend, whose code runs in a build."""

from __future__ import annotations

from pathlib import Path

from tests.support.wheels import make_sdist, make_wheel

_PYPROJECT = """
[build-system]
requires = ["{}"]
build-backend = "maker"
"""
MAKER_CODE = """
import zipfile
def build_wheel(folder, config_settings=None, metadata_directory=None):
    with zipfile.ZipFile(folder + "/built-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr("built/__init__.py", "VERSION = '1.0'\\n")
        info = "built-1.0.dist-info/"
        wheel.writestr(info + "METADATA", "Metadata-Version: 2.1\\nName: built\\nVersion: 1.0\\n")
        wheel.writestr(info + "WHEEL", "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\n"
                       "Tag: py3-none-any\\n")
        wheel.writestr(info + "RECORD", f"{info}RECORD,,\\n")
    return "built-1.0-py3-none-any.whl"
"""
"""The build backend."""


def make_built(folder: Path, requires: str = "maker") -> Path:
    """Make the source distribution ``built`` 1.0, whose build backend is ``maker``.

    Args:
        folder: The folder for it.
        requires: Its build requirement.
    """
    pyproject = _PYPROJECT.format(requires)
    return make_sdist(folder, "built", "1.0", files={}, pyproject=pyproject)


def make_maker(folder: Path, version: str = "1.0", code: str = MAKER_CODE) -> Path:
    """Make a wheel of ``maker``.

    Args:
        folder: The folder for it.
        version: Its version.
        code: The source of its module.
    """
    return make_wheel(folder, "maker", version, files={"maker.py": code})
