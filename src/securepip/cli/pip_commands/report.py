"""The installation report of ``--report``: pip's format, version 1, and who signed each file.

Rule: every key of pip's format has pip's meaning. Each item has one key more, ``securepip``, which
says who signed the file.

Source: pip's documentation, "Installation report"; PEP 566 for ``metadata``; PEP 610 for
``download_info``.
"""

from __future__ import annotations

import email
import json
import textwrap
from collections.abc import Callable, Sequence
from email.header import Header, decode_header, make_header
from email.message import Message
from typing import TYPE_CHECKING

import pip
from packaging.utils import NormalizedName

from securepip.formats.page import PageFile
from securepip.index.types import AnyFile, UserDirectory, UserFile

if TYPE_CHECKING:
    from securepip.resolver import TargetEnvironment
    from securepip.resolver.plan import PlannedFile

SignedBy = Callable[[NormalizedName, PageFile], tuple[str, str]]
Explained = Callable[[NormalizedName, PageFile], dict[str, object]]

_SEVERAL = frozenset(
    {"dynamic", "platform", "supported-platform", "license-file", "classifier", "requires-dist"}
    | {"requires-external", "project-url", "provides-extra", "provides-dist", "obsoletes-dist"}
)
_ONCE = (
    "metadata-version", "name", "version", "summary", "description",
    "description-content-type", "keywords", "home-page", "download-url", "author",
    "author-email", "maintainer", "maintainer-email", "license", "license-expression",
    "requires-python",
)  # fmt: skip


def make_report(
    planned: Sequence[PlannedFile],
    environment: TargetEnvironment,
    signed_by: SignedBy,
    explained: Explained,
) -> str:
    """The report as JSON.

    Args:
        planned: The files that are installed, or would be.
        environment: The target.
        signed_by: Returns the name of the repository that signed a file, and the file's URL.
        explained: Returns why a file is believed, in the form of ``explain --json``.
    """
    return json.dumps(
        {
            "version": "1",
            "pip_version": pip.__version__,
            "install": [_item(one, signed_by, explained) for one in planned],
            "environment": dict(environment.markers),
        },
        indent=2,
        ensure_ascii=False,
    )


def _item(planned: PlannedFile, signed_by: SignedBy, explained: Explained) -> dict[str, object]:
    file = planned.file
    if isinstance(file, UserFile | UserDirectory):
        url = file.url
        verified: dict[str, object] = {"verified": "local, not signed", "why": file.why}
    else:
        _, url = signed_by(planned.project, file)
        verified = explained(planned.project, file)
    item: dict[str, object] = {
        "download_info": _download_info(file, url),
        "is_direct": planned.is_direct,
        "is_yanked": planned.is_yanked,
        "requested": planned.requested,
        "metadata": _metadata(planned.core_metadata),
    }
    if planned.requested_extras:
        item["requested_extras"] = list(planned.requested_extras)
    item["securepip"] = verified
    return item


def _download_info(file: AnyFile, url: str) -> dict[str, object]:
    info: dict[str, object] = {"url": url}
    if isinstance(file, UserDirectory):
        info["dir_info"] = {"editable": True} if file.editable else {}
    else:
        given = file.url_hash if isinstance(file, UserFile) else ""
        name, _, digest = (given or f"sha256={file.sha256}").partition("=")
        info["archive_info"] = {"hash": f"{name}={digest}", "hashes": {name: digest}}
    if isinstance(file, UserFile | UserDirectory) and file.subdirectory:
        info["subdirectory"] = file.subdirectory
    return info


def _metadata(data: bytes) -> dict[str, object]:
    """Turn METADATA into the JSON form of PEP 566, with line ends and indents as pip reads them."""
    message = email.message_from_bytes(data.replace(b"\r\n", b"\n").replace(b"\r", b"\n"))
    result: dict[str, object] = {}
    for field in (*_ONCE, *sorted(_SEVERAL)):
        if field not in message:
            continue
        texts = [_dedented(_text(value)) for value in message.get_all(field, [])]
        key = field.replace("-", "_")
        result[key] = texts if field in _SEVERAL else texts[0]
        if field == "keywords":
            written = texts[0]
            result[key] = (
                [word.strip() for word in written.split(",")] if "," in written else written.split()
            )
    description = _body(message)
    if description:
        result["description"] = description
    return result


def _dedented(text: str) -> str:
    """A value of several lines without their common indent, as in ``importlib.metadata``."""
    return textwrap.dedent(" " * 8 + text) if "\n" in text else text


def _text(value: str | Header) -> str:
    """A field's value, with bytes that are not ASCII decoded as UTF-8, or else as Latin-1."""
    if not isinstance(value, Header):
        return value
    chunks = []
    for part, encoding in decode_header(value):
        if isinstance(part, bytes) and encoding == "unknown-8bit":
            try:
                part.decode("utf-8")
                encoding = "utf-8"
            except UnicodeDecodeError:
                encoding = "latin-1"
        chunks.append((part, encoding))
    return str(make_header(chunks))


def _body(message: Message) -> str:
    body = message.get_payload(decode=True)
    return body.decode("utf-8", errors="replace") if isinstance(body, bytes) else ""
