"""A browser without a window: what it makes of a page, as a document or as a picture."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

_SECONDS = 120


def find_chromium() -> str | None:
    """The Chromium of this machine, if it has one."""
    names = ("chromium", "chromium-browser", "google-chrome", "chrome")
    return next(filter(None, map(shutil.which, names)), None)


def open_page(page: Path, profile: Path, *options: str, dark: bool = False) -> str:
    """Let Chromium open ``page``, and return what it writes.

    Args:
        page: A file.
        profile: A folder for what the browser writes.
        options: What to do with the page: ``--dump-dom``, ``--screenshot=FILE``.
        dark: Whether the user prefers dark pages.
    """
    chromium = find_chromium()
    if chromium is None:
        raise FileNotFoundError("there is no Chromium here")
    preferred = f"--blink-settings=preferredColorScheme={0 if dark else 1}"
    command = [
        *(chromium, "--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"),
        *(f"--user-data-dir={profile}", preferred, *options, page.as_uri()),
    ]
    done = subprocess.run(command, capture_output=True, timeout=_SECONDS, check=True)
    return done.stdout.decode("utf-8")
