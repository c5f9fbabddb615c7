"""What the tools send, made in a line, with anything in it changed."""

from __future__ import annotations

import hashlib
import http.client
import random
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import requests
from packaging.utils import NormalizedName

from tests.support.repositories import MadeRepository


@dataclass(frozen=True)
class Site:
    """A repository that takes uploads.

    Attributes:
        url: Where they go.
        token: For every project.
        made: The repository.
        said: What the operator is told.
    """

    url: str
    token: str
    made: MadeRepository
    said: list[str]

    def send(
        self, path: Path, *, token: str | None = None, user: str = "__token__", **changes: str
    ) -> requests.Response:
        """Upload a file as twine does; ``changes`` are of fields of the form."""
        form = fields_of(path, **changes)
        with path.open("rb") as stream:
            return requests.post(
                self.url,
                data=form,
                files={"content": (path.name, stream, "application/octet-stream")},
                auth=(user, self.token if token is None else token),
                timeout=120,
            )

    def raw(self, head: dict[str, str], *body: bytes) -> http.client.HTTPConnection:
        """Send a request's head, and of its body what is given."""
        parts = urlsplit(self.url)
        connection = http.client.HTTPConnection(parts.netloc, timeout=120)
        connection.putrequest("POST", parts.path)
        for name, value in head.items():
            connection.putheader(name, value)
        connection.endheaders()
        for each in body:
            connection.send(each)
        return connection

    def snapshot(self) -> int:
        """The version of the current snapshot."""
        return self.made.repository.roles().snapshot.signed.version

    def files(self, project: str) -> list[str]:
        """The file names on the project's signed page."""
        page = self.made.repository.page(NormalizedName(project))
        return [file.filename for file in page.files] if page else []

    def left_over(self) -> list[Path]:
        """What uploads have left on the disk beside what is served."""
        return list((self.made.folder / "state" / "uploads").iterdir())


def fields_of(path: Path, **changes: str) -> dict[str, str]:
    """The fields of a form that fits a wheel; a change to "" takes one away."""
    data = path.read_bytes()
    name, version = path.name.split("-")[:2]
    fields = {
        ":action": "file_upload",
        "protocol_version": "1",
        "metadata_version": "2.2",
        "name": name,
        "version": version,
        "filetype": "bdist_wheel",
        "description": "For a test.\n",
        "sha256_digest": hashlib.sha256(data).hexdigest(),
        "md5_digest": hashlib.md5(data, usedforsecurity=False).hexdigest(),
        "blake2_256_digest": hashlib.blake2b(data, digest_size=32).hexdigest(),
    }
    changed = {**fields, **{name.replace("action", ":action"): v for name, v in changes.items()}}
    return {name: value for name, value in changed.items() if value}


def noise(size: int) -> bytes:
    """What an archive does not make shorter."""
    return random.Random(0).randbytes(size)


BOUNDARY = "between"
TYPE = f"multipart/form-data; boundary={BOUNDARY}"


def part(name: str, data: bytes | str, filename: str | None = None) -> bytes:
    """One part of a form."""
    more = "" if filename is None else f'; filename="{filename}"'
    head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"{more}\r\n\r\n'
    return head.encode() + (data if isinstance(data, bytes) else data.encode()) + b"\r\n"


def form(parts: Iterable[bytes]) -> bytes:
    """A whole form."""
    return b"".join(parts) + f"--{BOUNDARY}--\r\n".encode()


def form_of(path: Path) -> list[bytes]:
    """The parts of a good form."""
    parts = [part(name, value) for name, value in fields_of(path).items()]
    return [*parts, part("content", path.read_bytes(), path.name)]
