"""Opens a page in a headless browser, which returns the document or draws a picture."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

_SECONDS = 120


def find_chromium() -> str | None:
    """The path of this machine's Chromium, if it has one."""
    names = ("chromium", "chromium-browser", "google-chrome", "chrome")
    return next(filter(None, map(shutil.which, names)), None)


def open_page(page: Path, profile: Path, *options: str, dark: bool = False) -> str:
    """Let Chromium open a page, and return its standard output.

    Args:
        page: The file of the page.
        profile: A folder for the browser's own files.
        options: Chromium's options for the page: ``--dump-dom``, ``--screenshot=FILE``.
        dark: Whether the user prefers dark pages.

    Raises:
        FileNotFoundError: This machine has no Chromium.
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
