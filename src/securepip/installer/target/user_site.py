"""Refuses ``--user`` for a target without a user site, before anything is fetched or built."""

from __future__ import annotations

from pathlib import Path

from securepip.errors import InstallationError


def check_user_site(python: Path) -> None:
    """Refuse ``--user`` for a virtual environment that does not see the user's packages.

    Args:
        python: The target's interpreter.

    Raises:
        InstallationError: The virtual environment could not import what would be installed.
    """
    for folder in (python.parent, python.parent.parent):
        try:
            text = (folder / "pyvenv.cfg").read_text(encoding="utf-8")
        except OSError:
            continue
        pairs = (line.partition("=") for line in text.splitlines())
        says = {key.strip().lower(): value.strip().lower() for key, _, value in pairs}
        if says.get("include-system-site-packages") != "true":
            raise InstallationError(
                "Can not perform a '--user' install. User site-packages are not visible in this "
                "virtualenv."
            )
        return
