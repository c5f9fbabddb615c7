"""Locations of repositories and indexes: http(s) URLs, ``file`` URLs and folders, in one form."""

from __future__ import annotations

from urllib.parse import urlsplit

from securepip.dirs import user_path
from securepip.errors import FormatError, UsageError
from securepip.formats.layout import METADATA_DIR
from securepip.transport import file_url_to_path, path_to_url
from securepip.transport.urls import SCHEMES


def parse_location(text: str) -> str:
    """The base URL, ending in a slash, of the repository that a person named.

    Args:
        text: An http, https or file URL, or the path of a folder that holds a repository.

    Raises:
        UsageError: It is neither, or the folder holds no repository.
    """
    scheme = urlsplit(text).scheme.lower()
    # A one-letter scheme is a Windows drive.
    if scheme in SCHEMES and scheme != "file":
        if not urlsplit(text).hostname or urlsplit(text).query or urlsplit(text).fragment:
            raise UsageError(f"{text!r} is not the address of a repository")
        return text.rstrip("/") + "/"
    if len(scheme) > 1 and scheme != "file":
        raise UsageError(f"a repository is at an http, https or file URL, or in a folder: {text!r}")
    try:
        folder = file_url_to_path(text) if scheme == "file" else user_path(text)
    except FormatError as error:
        raise UsageError(error.what) from None
    if not (folder / METADATA_DIR).is_dir():
        raise UsageError(
            f"{folder} holds no repository: it has no folder {METADATA_DIR!r}",
            remedy="Make one with `securepip repo init`, or name the folder that has it.",
        )
    return path_to_url(folder)


def index_address(text: str) -> str:
    """An index URL, or the path of an index folder, in a form in which two can be compared.

    Credentials and a trailing slash make no difference.
    """
    try:
        parts = urlsplit(text)
        if len(parts.scheme) > 1 and parts.scheme.lower() != "file":
            host = parts.netloc.rpartition("@")[2].lower()
            return f"{parts.scheme.lower()}://{host}{parts.path.rstrip('/')}?{parts.query}"
        path = file_url_to_path(text) if parts.scheme else user_path(text)
        return path_to_url(path).rstrip("/")
    except (FormatError, ValueError, OSError):
        return text


def same_index(one: str, other: str) -> bool:
    """Whether two URLs, or paths of folders, name the same index."""
    return index_address(one) == index_address(other)
