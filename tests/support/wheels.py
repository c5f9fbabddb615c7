"""Makes wheels with a RECORD, and sdists with PKG-INFO and a build backend.

The same arguments make the same bytes, and so the same digest.
"""

from __future__ import annotations

import base64
import csv
import gzip
import hashlib
import io
import re
import tarfile
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from packaging.utils import canonicalize_name

_MOMENT = (2020, 1, 1, 0, 0, 0)


def metadata_text(
    name: str,
    version: str,
    requires: Sequence[str] = (),
    requires_python: str | None = None,
    extras: Sequence[str] = (),
    *,
    metadata_version: str = "2.2",
    dynamic: Sequence[str] = (),
) -> str:
    """The text of METADATA or PKG-INFO. A requirement of an extra has its ``extra ==`` marker."""
    lines = [f"Metadata-Version: {metadata_version}", f"Name: {name}", f"Version: {version}"]
    lines += [f"Dynamic: {field}" for field in dynamic]
    if requires_python is not None:
        lines.append(f"Requires-Python: {requires_python}")
    lines += [f"Requires-Dist: {requirement}" for requirement in requires]
    lines += [f"Provides-Extra: {extra}" for extra in extras]
    return "\n".join([*lines, "", f"{name}, for a test.", ""])


def make_wheel(
    folder: Path,
    name: str,
    version: str,
    requires: Sequence[str] = (),
    requires_python: str | None = None,
    files: Mapping[str, str | bytes] | None = None,
    tag: str = "py3-none-any",
    extras: Sequence[str] = (),
    *,
    build: str = "",
    metadata: str | None = None,
    entry_points: str | None = None,
) -> Path:
    """Make a wheel in ``folder`` and return its path.

    Args:
        folder: Its folder, which is made if it does not exist.
        name: The project's name, as its author writes it.
        version: Its version, as in the file name.
        requires: Its Requires-Dist lines.
        requires_python: Its Requires-Python.
        files: The contents of its files by path; by default, one package with ``VERSION``.
        tag: Its compatibility tag.
        extras: Its Provides-Extra lines.
        build: Its build number, if any.
        metadata: The text of METADATA, in place of one from the other arguments.
        entry_points: The contents of ``entry_points.txt``.
    """
    escaped = canonicalize_name(name).replace("-", "_")
    dist_info = f"{escaped}-{version}.dist-info"
    if metadata is None:
        metadata = metadata_text(name, version, requires, requires_python, extras)
    if files is None:
        files = {f"{escaped}/__init__.py": f"VERSION = {version!r}\n"}
    purelib = "true" if tag.endswith("-none-any") else "false"
    members: dict[str, bytes] = {path: _bytes(content) for path, content in files.items()}
    members[f"{dist_info}/METADATA"] = metadata.encode()
    members[f"{dist_info}/WHEEL"] = (
        f"Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: {purelib}\n"
        + "".join(f"Tag: {each}\n" for each in _expand(tag))
    ).encode()
    if entry_points is not None:
        members[f"{dist_info}/entry_points.txt"] = entry_points.encode()
    rows = [(path, _record(data), str(len(data))) for path, data in members.items()]
    record = io.StringIO()
    csv.writer(record, lineterminator="\n").writerows([*rows, (f"{dist_info}/RECORD", "", "")])
    members[f"{dist_info}/RECORD"] = record.getvalue().encode()
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "-".join(filter(None, [escaped, version, build, f"{tag}.whl"]))
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for member, data in members.items():
            info = zipfile.ZipInfo(member, _MOMENT)
            info.external_attr = 0o100644 << 16
            archive.writestr(info, data, zipfile.ZIP_DEFLATED)
    return path


def add_to_record(wheel: Path, *rows: str) -> Path:
    """Add rows to the RECORD of a wheel, and return the wheel."""
    with zipfile.ZipFile(wheel) as archive:
        members = {info: archive.read(info) for info in archive.infolist()}
    with zipfile.ZipFile(wheel, "w") as archive:
        for info, data in members.items():
            more = (
                "".join(f"{row},,\n" for row in rows) if info.filename.endswith("/RECORD") else ""
            )
            archive.writestr(info, data + more.encode())
    return wheel


def make_sdist(
    folder: Path,
    name: str,
    version: str,
    requires: Sequence[str] = (),
    requires_python: str | None = None,
    files: Mapping[str, str | bytes] | None = None,
    extras: Sequence[str] = (),
    *,
    metadata: str | None = None,
    dynamic: Sequence[str] = (),
    metadata_version: str = "2.2",
    pyproject: str | None = None,
) -> Path:
    """Make an sdist in ``folder`` and return its path.

    It contains its build backend, which requires nothing: it is built without a network. Another
    ``pyproject`` names another backend. The other arguments are those of ``make_wheel``.
    """
    escaped = canonicalize_name(name).replace("-", "_")
    if metadata is None:
        metadata = metadata_text(
            name,
            version,
            requires,
            requires_python,
            extras,
            metadata_version=metadata_version,
            dynamic=dynamic,
        )
    if files is None:
        files = {f"{escaped}/__init__.py": f"VERSION = {version!r}\n"}
    members: dict[str, bytes] = {"PKG-INFO": metadata.encode()}
    members |= {path: _bytes(content) for path, content in files.items()}
    if pyproject is None:
        members["pyproject.toml"] = (
            b'[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["_build"]\n'
        )
        members["_build/backend.py"] = _BACKEND.encode()
    else:
        members["pyproject.toml"] = pyproject.encode()
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{escaped}-{version}.tar.gz"
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        for member, data in members.items():
            info = tarfile.TarInfo(f"{escaped}-{version}/{member}")
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    path.write_bytes(gzip.compress(packed.getvalue(), mtime=0))
    return path


# A PEP 517 backend: METADATA is PKG-INFO, and the wheel has a copy of each other file.
_BACKEND = """\
import base64, email, hashlib, pathlib, re, zipfile

def get_requires_for_build_wheel(config_settings=None):
    return []

def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):
    metadata = pathlib.Path("PKG-INFO").read_bytes()
    fields = email.message_from_bytes(metadata)
    escaped = re.sub(r"[-_.]+", "_", fields["Name"]).lower()
    stem = "%s-%s" % (escaped, fields["Version"])
    members = {}
    for path in sorted(pathlib.Path(".").rglob("*")):
        inside = path.as_posix()
        if path.is_file() and inside.partition("/")[0] not in (
            "_build", "PKG-INFO", "pyproject.toml", "build"
        ):
            members[inside] = path.read_bytes()
    info = stem + ".dist-info/"
    members[info + "METADATA"] = metadata
    members[info + "WHEEL"] = (
        b"Wheel-Version: 1.0\\nGenerator: tests\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n"
    )
    record = ""
    for name, data in members.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
        record += "%s,sha256=%s,%d\\n" % (name, digest, len(data))
    members[info + "RECORD"] = (record + info + "RECORD,,\\n").encode()
    filename = stem + "-py3-none-any.whl"
    with zipfile.ZipFile(pathlib.Path(wheel_directory) / filename, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return filename
"""


def _expand(tag: str) -> list[str]:
    python, abi, platform = re.fullmatch(r"([^-]+)-([^-]+)-([^-]+)", tag).groups()  # type: ignore[union-attr] # tests pass whole tags
    return [
        f"{one}-{two}-{three}"
        for one in python.split(".")
        for two in abi.split(".")
        for three in platform.split(".")
    ]


def _record(data: bytes) -> str:
    digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
    return f"sha256={digest}"


def _bytes(content: str | bytes) -> bytes:
    return content.encode() if isinstance(content, str) else content
