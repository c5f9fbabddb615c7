"""A refused upload, in words for whoever uploads."""

from __future__ import annotations

from http import HTTPStatus


class UploadRefusedError(Exception):
    """An upload is not published.

    Nobody sees it but the sender: the words name no file of the server's.

    Args:
        status: What is answered: 4xx where the upload is wrong, 5xx where trying again may help.
        words: What is wrong and what to do.
    """

    def __init__(self, status: HTTPStatus, words: str) -> None:
        super().__init__(words)
        self.status = status
        self.words = words


def bad(words: str) -> UploadRefusedError:
    """As for an upload that is not of the form that it has to be."""
    return UploadRefusedError(HTTPStatus.BAD_REQUEST, words)
