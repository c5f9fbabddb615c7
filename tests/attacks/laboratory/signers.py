"""The attacks of a thief of the online key: he signs wrong files, and shows them to plain clients.

An index without signatures can show the same files, which first use then sees on its pages.
"""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from functools import partial
from html import escape
from pathlib import Path
from urllib.parse import quote
from warnings import catch_warnings, simplefilter

from securepip.formats.digests import sha256_of
from tests.attacks.laboratory import plain_pip
from tests.attacks.laboratory.world import ALL_IS_WELL, Attack, World
from tests.attacks.signing import read_page, sign, sign_page
from tests.support.wheels import metadata_text

CLEAR_SCREEN = "\x1b[2J\x1b[1;1H\x9b2J"
NOT_OPENED_BY = ("gateway",)
"""The gateway does not open wheels: its tool does."""
OPENED_BY = ("install", "lock", "build", "plugin", "first use")
"""These read a page as `download` does. They are tried with a wheel's metadata only."""
PAGE_LEFT_OUT_BY = ("first use",)
"""First use signs only the files of a page that it can read."""
RELEASE_LEFT_OUT_BY = ("install", "download", "lock", "build", "first use")
"""As with pip, a release with invalid metadata is skipped, and a message names it."""


def _offer(world: World, wheel: Path, filename: str) -> None:
    """Sign a wheel under any name, as the newest file of the project's pages."""
    data = wheel.read_bytes()
    sha256, place = sha256_of(data), f"../../packages/{world.project}/"
    page = read_page(world.made, world.project)
    entry = {
        "filename": filename,
        "url": place + wheel.name,
        "hashes": {"sha256": sha256},
        "size": len(data),
    }
    sign(world.made, {f"packages/{world.project}/{wheel.name}": data})
    sign_page(world.made, world.project, {**page, "files": [*page["files"], entry]})
    html = world.made.folder / "simple" / world.project / "index.html"
    # A reader of HTML takes the name from the URL.
    link = f'<a href="{place}{quote(filename, safe="")}#sha256={sha256}">{escape(filename)}</a>'
    text = html.read_text().replace("</body>", f"{link}<br>\n</body>")
    html.unlink()  # it can be a link
    html.write_text(text)


def name_the_file(world: World, name: str) -> None:
    """Offer a file under a name that only looks like a wheel of the project."""
    _offer(world, world.evil_release("9.0"), name.format(world.project))


def require(world: World, requires: Sequence[str]) -> None:
    """Offer a release with a malformed requirement."""
    wheel = world.evil_release("9.0", requires)
    _offer(world, wheel, wheel.name)


def tell_two_readers_two_things(world: World) -> None:
    """Offer a release with two METADATA files, of which two readers take different ones."""
    wheel = world.evil_release("9.0")
    with catch_warnings(), zipfile.ZipFile(wheel, "a") as archive:
        simplefilter("ignore", UserWarning)  # zipfile warns of the duplicate name
        other = metadata_text(world.project, "9.0", ["other"])
        archive.writestr(f"{world.project}-9.0.dist-info/METADATA", other)
    _offer(world, wheel, wheel.name)


SIGNED = {
    "file name that leads out": Attack(
        "traversal",
        partial(name_the_file, name="../../../{}-9.0-py3-none-any.whl"),
        passed_over_by=PAGE_LEFT_OUT_BY,
    ),
    "file name with terminal codes": Attack(
        "injection",
        partial(name_the_file, name=f"{{}}-9.0{CLEAR_SCREEN}\n{ALL_IS_WELL}\n-py3-none-any.whl"),
        not_by=OPENED_BY,
    ),
    "file name with a homoglyph": Attack(
        "strange names",
        partial(name_the_file, name="\u0430{}-9.0-py3-none-any.whl"),
        not_by=OPENED_BY,
    ),
    "dependency with terminal codes": Attack(
        "injection",
        partial(require, requires=[f"lib{CLEAR_SCREEN}"]),
        not_by=NOT_OPENED_BY,
        passed_over_by=RELEASE_LEFT_OUT_BY,
        names_server=False,
        fools_pip=plain_pip.tells_the_terminal,
    ),
    "dependency with a homoglyph": Attack(
        "strange names",
        partial(require, requires=["l\u0456b"]),
        not_by=NOT_OPENED_BY,
        passed_over_by=RELEASE_LEFT_OUT_BY,
        names_server=False,
    ),
    "two METADATA": Attack(
        "two readers",
        tell_two_readers_two_things,
        codes=(1,),
        not_by=NOT_OPENED_BY,
        names_server=False,
        fools_pip=plain_pip.has("app", "9.0"),
    ),
}
"""The attacks by name."""
