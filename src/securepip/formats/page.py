"""A project's page: the files that a project offers.

The JSON form (PEP 691, with the fields of PEP 700, 714 and 792) is the signed target. The HTML
form (PEP 503) says the same to clients that do not verify. Parsing is strict: the page is signed,
so a malformed one is a defect of the signer or an attack, and nothing in it is guessed.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from datetime import datetime, timezone
from json.encoder import encode_basestring_ascii as _quoted
from typing import Any, NamedTuple
from weakref import WeakValueDictionary

from packaging.utils import NormalizedName

from securepip.errors import FormatError
from securepip.formats.digests import NOT_KNOWN_YET, Sha256, other_hash_of, parse_sha256, sha256_of
from securepip.formats.distribution import parse_distribution
from securepip.formats.layout import check_filename

API_VERSION = "1.4"
JSON_TYPE = "application/vnd.pypi.simple.v1+json"
HTML_TYPE = "application/vnd.pypi.simple.v1+html"
MAX_PAGE_BYTES = 64 << 20
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?Z", re.ASCII)
_MICROSECONDS = len("yyyy-mm-ddThh:mm:ss.ffffffZ")


class PageFile(NamedTuple):
    """One file of a project's page. A tuple, because a page may have thousands.

    Attributes:
        filename: Its file name, without a folder.
        url: Its URL: absolute, or relative to the page; without credentials.
        sha256: Its digest. ``NOT_KNOWN_YET`` if the index gives none; then ``size`` is None.
        size: Its length in bytes. None on the page of a repository that signs on demand, until
            somebody chooses the file. Its signed target always has a length.
        requires_python: The ``Requires-Python`` specifier as published, perhaps not valid.
        upload_time: When it was uploaded (UTC); None if the index does not say.
        yanked: Why it was yanked, perhaps ""; None if it was not (PEP 592).
        core_metadata: The digest of its ``.metadata`` file; None if it has none (PEP 714).
        other_hash: If ``sha256`` is not known yet, another hash that the index gives, ``md5:…``.
    """

    filename: str
    url: str
    sha256: Sha256
    size: int | None
    requires_python: str | None = None
    upload_time: datetime | None = None
    yanked: str | None = None
    core_metadata: Sha256 | None = None
    other_hash: str | None = None


@dataclass(frozen=True)
class ProjectPage:
    """The files that a project offers.

    Attributes:
        project: The normalized name.
        files: In the order of the page.
        status: ``active``, ``archived``, ``deprecated`` or ``quarantined`` (PEP 792).
        status_reason: Why it has that status, for people; None if the index does not say.

    Raises:
        FormatError: Two files have one name.
    """

    project: NormalizedName
    files: tuple[PageFile, ...] = ()
    status: str = "active"
    status_reason: str | None = None
    _by_name: dict[str, PageFile] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        by_name = {file.filename: file for file in self.files}
        if len(by_name) != len(self.files):
            raise FormatError(f"the page of {self.project} names one file twice")
        object.__setattr__(self, "_by_name", by_name)

    def file(self, filename: str) -> PageFile | None:
        """The file of that name; None if the page has none."""
        return self._by_name.get(filename)

    def to_json(self) -> bytes:
        """The PEP 691 form, which is what is signed. The same page gives the same bytes."""
        names = (parse_distribution(file.filename, self.project) for file in self.files)
        versions = {name.version for name in names if name}
        document: dict[str, Any] = {
            "meta": {"api-version": API_VERSION},
            "name": self.project,
            "project-status": {"status": self.status},
            "versions": [str(version) for version in sorted(versions)],
        }
        if self.status_reason is not None:
            document["project-status"]["reason"] = self.status_reason
        text = json.dumps(document, separators=(",", ":"), ensure_ascii=True)
        files = ",".join(map(_file_to_json, self.files))
        return f'{text[:-1]},"files":[{files}]}}'.encode()

    def to_html(self) -> bytes:
        """The PEP 503 form, for clients that do not verify."""
        from html import escape  # slow to import, and not needed by a client

        name = escape(self.project)
        status = f'<meta name="pypi:project-status" content="{escape(self.status)}">\n'
        if self.status_reason is not None:
            reason = escape(self.status_reason)
            status += f'<meta name="pypi:project-status-reason" content="{reason}">\n'
        links = "".join(_file_to_html(file) for file in self.files)
        return (
            f'<!DOCTYPE html>\n<html>\n<head>\n<meta charset="utf-8">\n'
            f'<meta name="pypi:repository-version" content="{API_VERSION}">\n{status}'
            f"<title>Links for {name}</title>\n</head>\n<body>\n<h1>Links for {name}</h1>\n"
            f"{links}</body>\n</html>\n"
        ).encode()


def parse_page(data: bytes, project: NormalizedName) -> ProjectPage:
    """Parse the signed page of ``project``.

    A page that is parsed already, and still in use, is returned again for the same bytes: parsing a
    long page takes as long as fetching it.

    Raises:
        FormatError: It is not a PEP 691 page of that project in the form that securepip signs, or
            is longer than ``MAX_PAGE_BYTES``.
    """
    if len(data) > MAX_PAGE_BYTES:
        raise FormatError(f"the page of {project} is longer than {MAX_PAGE_BYTES} bytes")
    key = project, sha256_of(data)
    page = _parsed.get(key)
    if page is None:
        page = _parsed[key] = _parse_page(data, project)
    return page


_parsed: WeakValueDictionary[tuple[NormalizedName, Sha256], ProjectPage] = WeakValueDictionary()


def _parse_page(data: bytes, project: NormalizedName) -> ProjectPage:
    try:
        document = json.loads(data)
        if document["name"] != project:
            raise FormatError(f"the page of {project} says that it is of {document['name']!r:.80}")
        if not str(document["meta"]["api-version"]).startswith("1."):
            raise FormatError(f"the page of {project} is of an unknown version of the simple API")
        if not isinstance(document["files"], list):
            raise FormatError(f"the page of {project} has no list of files")
        status = document.get("project-status") or {}
        return ProjectPage(
            project,
            tuple(_parse_file(entry) for entry in document["files"]),
            status=_text(status.get("status", "active")),
            status_reason=_optional_text(status.get("reason")),
        )
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise FormatError(f"the page of {project} is not a project page: {error!r:.200}") from None


def format_time(moment: datetime) -> str:
    """``moment`` in the form of PEP 700: UTC, with microseconds, ending in Z."""
    utc = moment if moment.tzinfo is timezone.utc else moment.astimezone(timezone.utc)
    return utc.isoformat("T", "microseconds")[:-6] + "Z"


def parse_time(text: str) -> datetime:
    """Parse the ``upload-time`` of PEP 700.

    Raises:
        ValueError: It does not have the form ``yyyy-mm-ddThh:mm:ss.ffffffZ``.
    """
    if not _TIME.fullmatch(text):
        raise ValueError(f"not an upload time: {text!r:.80}")
    if len(text) == _MICROSECONDS:
        return datetime.fromisoformat(f"{text[:-1]}+00:00")
    seconds, _, fraction = text.removesuffix("Z").partition(".")
    return datetime.fromisoformat(f"{seconds}.{fraction[:6].ljust(6, '0')}+00:00")


def _hash_of(file: PageFile) -> str | None:
    return f"sha256:{file.sha256}" if file.sha256 else file.other_hash


def _file_to_json(file: PageFile) -> str:
    """The JSON of one file, as ``json.dumps`` would write it, in a third of the time."""
    filename, url, sha256, size, requires_python, upload_time, yanked, metadata, other_hash = file
    kind, _, digest = (
        other_hash.partition(":") if other_hash and not sha256 else ("sha256", "", sha256)
    )
    hashes = f"{{{_quoted(kind)}:{_quoted(digest)}}}" if digest else "{}"
    entry = f'{{"filename":{_quoted(filename)},"url":{_quoted(url)},"hashes":{hashes}'
    if size is not None:
        entry += f',"size":{size}'
    if requires_python is not None:
        entry += f',"requires-python":{_quoted(requires_python)}'
    if upload_time is not None:
        entry += f',"upload-time":"{format_time(upload_time)}"'
    if yanked is not None:
        entry += f',"yanked":{_quoted(yanked) if yanked else "true"}'
    if metadata is not None:
        entry += f',"core-metadata":{{"sha256":{_quoted(metadata)}}}'
    return entry + "}"


def _file_to_html(file: PageFile) -> str:
    from html import escape

    digest = _hash_of(file)
    attributes = [("href", f"{file.url}#{digest.replace(':', '=')}" if digest else file.url)]
    if file.requires_python is not None:
        attributes.append(("data-requires-python", file.requires_python))
    if file.yanked is not None:
        attributes.append(("data-yanked", file.yanked))
    if file.core_metadata is not None:
        value = f"sha256={file.core_metadata}"
        # PEP 714: old clients know only the first of the two names.
        attributes += [("data-dist-info-metadata", value), ("data-core-metadata", value)]
    written = " ".join(f'{name}="{escape(value)}"' for name, value in attributes)
    return f"<a {written}>{escape(file.filename)}</a><br>\n"


def _parse_file(entry: dict[str, Any]) -> PageFile:
    size = entry.get("size")
    if size is not None and (type(size) is not int or size < 0):
        raise FormatError(f"not a size: {size!r:.80}")
    yanked = entry.get("yanked")
    upload_time = entry.get("upload-time")
    core_metadata = entry.get("core-metadata")
    hashes = entry["hashes"]
    is_known = size is not None or "sha256" in hashes
    return PageFile(
        check_filename(entry["filename"]),
        _text(entry["url"]),
        parse_sha256(hashes["sha256"]) if is_known else NOT_KNOWN_YET,
        size,
        _optional_text(entry.get("requires-python")),
        None if upload_time is None else parse_time(upload_time),
        "" if yanked is True else _text(yanked) if yanked else None,
        parse_sha256(core_metadata["sha256"]) if core_metadata else None,
        None if is_known else other_hash_of(hashes),
    )


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise FormatError(f"text expected, not {value!r:.80}")
    if not value.isascii():
        value.encode()  # fails for a lone surrogate, which JSON can contain and HTML cannot
    return value


def _optional_text(value: object) -> str | None:
    return None if value is None else _text(value)
