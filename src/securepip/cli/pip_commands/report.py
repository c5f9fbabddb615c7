"""The installation report of ``--report``: pip's format, version 1, and who signed what.

Rule: every key of pip's format has pip's meaning. Who signed a file stands under a key of our own,
``securepip``, in each item.

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
        planned: What is installed, or would be.
        environment: The target.
        signed_by: The name of the repository that signed a file, and where the file is.
        explained: Why a file is believed, as ``explain --json`` has it.
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
    said: dict[str, object] = {"url": url}
    if isinstance(file, UserDirectory):
        said["dir_info"] = {"editable": True} if file.editable else {}
    else:
        given = file.url_hash if isinstance(file, UserFile) else ""
        name, _, digest = (given or f"sha256={file.sha256}").partition("=")
        said["archive_info"] = {"hash": f"{name}={digest}", "hashes": {name: digest}}
    if isinstance(file, UserFile | UserDirectory) and file.subdirectory:
        said["subdirectory"] = file.subdirectory
    return said


def _metadata(data: bytes) -> dict[str, object]:
    """METADATA as PEP 566 has it in JSON, its lines ended and indented as pip reads them."""
    message = email.message_from_bytes(data.replace(b"\r\n", b"\n").replace(b"\r", b"\n"))
    found: dict[str, object] = {}
    for field in (*_ONCE, *sorted(_SEVERAL)):
        if field not in message:
            continue
        texts = [_dedented(_text(value)) for value in message.get_all(field, [])]
        key = field.replace("-", "_")
        found[key] = texts if field in _SEVERAL else texts[0]
        if field == "keywords":
            written = texts[0]
            found[key] = (
                [word.strip() for word in written.split(",")] if "," in written else written.split()
            )
    description = _body(message)
    if description:
        found["description"] = description
    return found


def _dedented(text: str) -> str:
    """A value of several lines without what these are indented by, as ``importlib.metadata``."""
    return textwrap.dedent(" " * 8 + text) if "\n" in text else text


def _text(value: str | Header) -> str:
    """A field's value; bytes that are not ASCII are UTF-8, or at least some letters."""
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
