"""Reads the form of an upload (multipart/form-data) as it arrives, and writes its file to disk.

Rule: a form cannot take more memory, disk or time than the limits here. Only the text fields that
are compared with the file are kept, up to a short limit each. All other fields are counted and
skipped, because the file itself has classifiers, description and the like. ``python_multipart``
parses the form. Its limits hold for the headers of a part, and ours for everything else.

Source: RFC 7578, and the upload API that Warehouse calls legacy.
"""

from __future__ import annotations

import hashlib
import logging
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from python_multipart import MultipartParser
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import parse_options_header

from securepip.errors import FormatError
from securepip.formats.digests import CHUNK
from securepip.formats.distribution import is_distribution
from securepip.formats.layout import check_filename
from securepip.formats.words import in_units
from securepip.signing.uploads.refusal import UploadRefusedError, bad

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks

# The parser logs every bad byte: a sender could flood the operator's screen.
logging.getLogger("python_multipart").addHandler(logging.NullHandler())

CONTENT = "content"
DIGESTS = ("sha256_digest", "md5_digest", "blake2_256_digest")
_KEPT = frozenset({":action", "protocol_version", "name", "version", "filetype", CONTENT, *DIGESTS})
MAX_TEXT = 16 << 20
"""The most bytes of a form without its file. A description may be long."""

_MAX_PARTS = 4_096
_MAX_FIELD = 1_024
_BOUNDARY = re.compile(rb"[0-9A-Za-z'()+_,./:=? -]{0,69}[0-9A-Za-z'()+_,./:=?-]")  # RFC 2046


@dataclass(frozen=True)
class Form:
    """An upload on this machine, before its parts are compared.

    Attributes:
        path: The file, under the name that the form gives it.
        fields: The text fields that are compared with it.
        digests: The digests of the received file in hexadecimal, by the name of the field that
            gives the same digest.
    """

    path: Path
    fields: dict[str, str]
    digests: dict[str, str]


@dataclass(frozen=True)
class Limits:
    """How much one upload may take.

    Attributes:
        file_bytes: The longest file.
        grace: The seconds that any upload may take.
        bytes_per_second: The lowest average speed of a longer upload.
    """

    file_bytes: int = 100 << 20
    grace: float = 60.0
    bytes_per_second: int = 20_000

    def seconds(self, length: int) -> float:
        """How many seconds a request of ``length`` bytes may take."""
        return self.grace + length / self.bytes_per_second


def read_form(
    content_type: str, length: int, read: Callable[[int], bytes], folder: Path, limits: Limits
) -> Form:
    """Read one form, and write its file into ``folder``.

    Args:
        content_type: The ``Content-Type`` header of the request.
        length: The length of the form in bytes.
        read: Returns at most that many further bytes, none at the end; it raises ``TimeoutError``.
        folder: An empty folder for this upload alone.
        limits: How much the upload may take.

    Raises:
        UploadRefusedError: It is malformed, too large, or too slow.
    """
    kind, options = parse_options_header(content_type)
    boundary = options.get(b"boundary", b"")
    if kind != b"multipart/form-data" or not _BOUNDARY.fullmatch(boundary):
        raise bad("this address takes uploads as multipart/form-data: use twine, or a tool like it")
    end = time.monotonic() + limits.seconds(length)
    with _Reader(folder, limits.file_bytes) as reader:
        parser = MultipartParser(boundary, reader.callbacks())
        left = length
        while left:
            try:
                data = read(min(left, CHUNK))
            except TimeoutError:
                raise _too_slow() from None
            if not data:
                raise bad("the connection ended in the middle of the upload")
            if time.monotonic() > end:
                raise _too_slow()
            left -= len(data)
            try:
                parser.write(data)
            except FormParserError:
                raise bad("the form of the upload cannot be read") from None
        return reader.form()


class _Reader:
    """Collects the parts that the parser finds."""

    def __init__(self, folder: Path, max_bytes: int) -> None:
        self._folder = folder
        self._max_bytes = max_bytes
        self._parts = self._text = self._file_bytes = 0
        self._header = self._value = b""
        self._disposition = b""
        self._name = ""
        self._fields: dict[str, bytearray] = {}
        self._path: Path | None = None
        self._stream: BinaryIO | None = None
        self._digests = (
            hashlib.sha256(),
            hashlib.md5(usedforsecurity=False),
            hashlib.blake2b(digest_size=32),
        )
        self._ended = False

    def __enter__(self) -> _Reader:
        return self

    def __exit__(self, *_error: object) -> None:
        if self._stream is not None:
            self._stream.close()

    def callbacks(self) -> MultipartCallbacks:
        """The callbacks for the parser."""
        return {
            "on_part_begin": self._begin,
            "on_header_field": self._header_field,
            "on_header_value": self._header_value,
            "on_header_end": self._header_end,
            "on_headers_finished": self._headers_finished,
            "on_part_data": self._data,
            "on_part_end": self._part_end,
            "on_end": self._end,
        }

    def form(self) -> Form:
        """The form, after the parser has read all of it.

        Raises:
            UploadRefusedError: Something is missing.
        """
        if not self._ended:
            raise bad("the form of the upload has no end")
        if self._path is None:
            raise bad("the upload has no file, in a field of the name content")
        try:
            fields = {name: value.decode() for name, value in self._fields.items()}
        except UnicodeDecodeError:
            raise bad("a field of the upload is not UTF-8") from None
        sha256, md5, blake2 = (digest.hexdigest() for digest in self._digests)
        digests = dict(zip(DIGESTS, (sha256, md5, blake2), strict=True))
        return Form(self._path, fields, digests)

    def _begin(self) -> None:
        self._parts += 1
        if self._parts > _MAX_PARTS:
            raise bad(f"the upload has more than {_MAX_PARTS} fields")
        self._disposition = self._header = self._value = b""

    def _header_field(self, data: bytes, start: int, end: int) -> None:
        self._header += data[start:end]

    def _header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _header_end(self) -> None:
        if self._header.lower() == b"content-disposition":
            self._disposition = self._value
        self._header = self._value = b""

    def _headers_finished(self) -> None:
        kind, options = parse_options_header(self._disposition)
        self._name = options.get(b"name", b"").decode("utf-8", "replace")
        if kind != b"form-data" or not self._name:
            raise bad("the form of the upload has a part without a name")
        if self._name not in _KEPT:
            return
        # Of two values for one name, one could be checked and the other one used.
        if self._name in self._fields or (self._name == CONTENT and self._path):
            raise bad(f"the upload has two fields of the name {self._name}")
        if self._name != CONTENT:
            self._fields[self._name] = bytearray()
            return
        try:
            filename = check_filename(options.get(b"filename", b"").decode("utf-8", "replace"))
        except FormatError as error:
            raise bad(error.what) from None
        if not is_distribution(filename):
            raise bad(f"{filename} is neither a wheel nor a source distribution")
        self._path = self._folder / filename
        self._stream = self._path.open("xb")

    def _data(self, data: bytes, start: int, end: int) -> None:
        if self._stream is not None:
            chunk = data[start:end]
            self._file_bytes += len(chunk)
            if self._file_bytes > self._max_bytes:
                raise too_large(self._max_bytes)
            self._stream.write(chunk)
            for digest in self._digests:
                digest.update(chunk)
            return
        self._text += end - start
        if self._text > MAX_TEXT:
            raise bad(f"the upload says more than {in_units(MAX_TEXT)} beside its file")
        kept = self._fields.get(self._name)
        if kept is not None:
            kept += data[start:end]
            if len(kept) > _MAX_FIELD:
                raise bad(f"the field {self._name} of the upload is too long")

    def _part_end(self) -> None:
        if self._stream is not None:
            self._stream.close()
            self._stream = None

    def _end(self) -> None:
        self._ended = True


def too_large(max_bytes: int) -> UploadRefusedError:
    """Make the refusal of a file that is longer than ``max_bytes``."""
    return UploadRefusedError(
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        f"the file is larger than {in_units(max_bytes)}, the most that this repository takes",
    )


def _too_slow() -> UploadRefusedError:
    return UploadRefusedError(
        HTTPStatus.REQUEST_TIMEOUT, "the upload was too slow, and was given up: try again"
    )
