"""Whether ``--user`` has a meaning for a target: asked before anything is built or fetched."""

from __future__ import annotations

from pathlib import Path

from securepip.errors import InstallationError


def check_user_site(python: Path) -> None:
    """Refuse ``--user`` for a virtual environment that does not see the user's packages.

    Args:
        python: The target's interpreter.

    Raises:
        InstallationError: What would be installed could not be imported there.
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
