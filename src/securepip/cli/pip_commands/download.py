"""``securepip download``: requirements → plan → verified files → copies in a folder.

Rule: an existing file is never overwritten with other bytes without a warning.
"""

from __future__ import annotations

import os
import zipfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from securepip.cli import console
from securepip.cli.pip_commands import said
from securepip.cli.pip_commands.prepare import prepare
from securepip.dirs import user_path
from securepip.errors import SecurepipError
from securepip.formats.digests import open_plain, sha256_of_stream
from securepip.formats.layout import check_filename
from securepip.index.types import UserDirectory, UserFile

if TYPE_CHECKING:
    from securepip.cli.pip_commands.requests import DownloadRequest
    from securepip.index import VerifiedFile
    from securepip.resolver.plan import PlannedFile


def run(request: DownloadRequest) -> int:
    """Download what the request names.

    Returns:
        The exit code: 0.

    Raises:
        SecurepipError: Something cannot be found, verified or written.
    """
    folder = user_path(str(request.folder)).absolute()
    with ExitStack() as stack:
        asked = prepare(request, stack)
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise SecurepipError(f"The folder {folder} cannot be made: {error.strerror}") from None
        plan = asked.resolve(ignore_installed=True, downloads=folder)
        said.say_unsigned(plan)
        with asked.display:
            files = iter(asked.index.fetch(plan.signed))
        signed = []
        for planned in plan.install:
            if planned.signed is not None:
                verified = next(files)
                signed.append(verified)
                _save(verified, folder)
            elif isinstance(planned.file, UserFile):
                _save(planned.file, folder)
            elif isinstance(planned.file, UserDirectory) and planned.file.editable:
                _archive(planned, planned.file, folder)
        said.say_verified(signed)
        if plan.install:
            named = " ".join(one.project for one in plan.as_chosen)
            console.say(f"Successfully downloaded {named}")
    return 0


def _save(file: VerifiedFile | UserFile, folder: Path) -> None:
    """Copy one file into the folder under its own name.

    Raises:
        SecurepipError: It cannot be written.
        VerificationError: The file has changed since it was verified, or as ``check_given``.
    """
    from securepip.index.verified import check_given
    from securepip.installer import copy_verified

    check_given(file.path, file.filename)
    place = folder / check_filename(file.filename)
    if os.path.lexists(place):
        console.say(f"  File was already downloaded {place}")
        try:
            with open_plain(place) as stream:
                if sha256_of_stream(stream) == (file.sha256, file.size):
                    return
        except OSError:
            console.warn(f"{place} is not a file that can be read. Re-downloading.")
        else:
            console.warn(f"Previously-downloaded file {place} has bad hash. Re-downloading.")
    with _replacing(place) as temporary:
        copy_verified(file.path, temporary, file.filename, file.sha256, file.size)


def _archive(planned: PlannedFile, project: UserDirectory, folder: Path) -> None:
    """Pack the folder that ``-e`` names into a ZIP file, as pip does.

    Raises:
        SecurepipError: It cannot be written.
    """
    place = folder / check_filename(f"{planned.name}-{planned.version}.zip")
    if place.exists():
        console.warn(f"Deleting {place}")
    with (
        _replacing(place) as temporary,
        # "xb" makes a new file: another user may have put a symbolic link there, which would
        # redirect the write.
        temporary.open("xb") as stream,
        zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED, strict_timestamps=False) as packed,
    ):
        for inside, _, names in os.walk(project.path):
            below = Path(planned.name, Path(inside).relative_to(project.path))
            for name in names:
                path = Path(inside, name)
                # The archive may be in the project's folder, and must not contain itself.
                if path.is_file() and not path.samefile(temporary):
                    packed.write(path, below / name)


@contextmanager
def _replacing(place: Path) -> Iterator[Path]:
    """A temporary path beside ``place``; what is written there replaces ``place`` atomically."""
    temporary = place.with_name(f".{place.name}.{os.urandom(8).hex()}.part")
    try:
        yield temporary
        temporary.replace(place)
    except OSError as error:
        raise SecurepipError(f"{place} cannot be written: {error.strerror}") from None
    finally:
        temporary.unlink(missing_ok=True)
    console.say(f"Saved {said.shown(place)}")
