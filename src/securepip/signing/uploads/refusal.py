"""The refusal of an upload, in words for the person who uploads."""

from __future__ import annotations

from http import HTTPStatus


class UploadRefusedError(Exception):
    """An upload is not published.

    The sender sees the text, so it names no file on the server.

    Args:
        status: The HTTP status: 4xx if the upload is wrong, 5xx if trying again may help.
        words: What is wrong and what to do.
    """

    def __init__(self, status: HTTPStatus, words: str) -> None:
        super().__init__(words)
        self.status = status
        self.words = words


def bad(words: str) -> UploadRefusedError:
    """Make the refusal of a malformed or wrong upload."""
    return UploadRefusedError(HTTPStatus.BAD_REQUEST, words)
