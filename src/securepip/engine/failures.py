"""Explains the errors of an object store to the person who runs the command.

Rule: obstore's own text is not repeated, because it may hold URLs, headers and bodies with secrets.
Only parts that cannot hold a secret are quoted.
"""

from __future__ import annotations

import re

from obstore.exceptions import (
    AlreadyExistsError,
    InvalidPathError,
    NotSupportedError,
    PermissionDeniedError,
    PreconditionError,
    UnauthenticatedError,
)

from securepip.engine.address import SETTINGS
from securepip.signing.repository.storage.interface import StorageError

_STATUS = re.compile(r"status code: ([1-5][0-9]{2})")
_CODE = re.compile(r"<Code>([A-Za-z0-9.]{1,60})</Code>")
_KEY = re.compile(r'Error parsing Path "([^"\n]{1,1024})"')
_NO_BUCKET = re.compile(r"NoSuchBucket|ContainerNotFound|bucket does not exist", re.IGNORECASE)
_NO_CREDENTIALS = re.compile(
    r"169\.254\.|metadata\.google|credential|account must be specified", re.IGNORECASE
)
_LATE = re.compile(r"timed? ?out|timeout", re.IGNORECASE)
_AGAIN = "What was current still is. Run the same command again."


def is_absent(error: Exception) -> bool:
    """Whether the error means that there is no object of that name."""
    if isinstance(error, ValueError):
        return "Could not parse path" in str(error)
    return isinstance(error, FileNotFoundError) and not _NO_BUCKET.search(str(error))


def is_overtaken(error: Exception) -> bool:
    """Whether the error means that another process has written the object first."""
    return isinstance(error, AlreadyExistsError | PreconditionError)


def explained(error: Exception, shown: str) -> StorageError:
    """Make the error for a failed request.

    Args:
        error: The error of obstore.
        shown: The address of the object, for people.
    """
    settings = SETTINGS.get(shown.partition("://")[0], SETTINGS["s3"])
    text = str(error).partition("Debug source")[0]
    status, code = _STATUS.search(text), _CODE.search(text)
    answer = " ".join(match[1] for match in (status, code) if match)
    if _NO_BUCKET.search(text):
        return StorageError(
            shown,
            "there is no such bucket",
            "Its name is another, it was deleted, or the endpoint is that of another store.",
            "Make the bucket, or correct the address.",
        )
    denied = isinstance(error, PermissionDeniedError | UnauthenticatedError)
    if denied or (status is not None and status[1] in ("401", "403")):
        return StorageError(
            shown,
            f"the store does not allow it ({answer or 'permission denied'})",
            "The credentials of this environment are not good for it, or the clock of this machine "
            "is wrong.",
            "Whoever signs has to get, put, list and delete objects there. " + _AGAIN,
        )
    if isinstance(error, NotSupportedError) or "501" in answer:
        return StorageError(
            shown,
            f"the store does not know what is asked of it ({answer or 'not supported'})",
            "Without conditional writes, nothing keeps two publishers apart.",
            "Use a store that has them.",
        )
    if isinstance(error, InvalidPathError):
        key = _KEY.search(text)
        named = f": {key[1]!r:.200}" if key else ""
        return StorageError(
            shown,
            f"it holds an object whose name no repository has{named}",
            "Somebody else writes to this bucket, or it is not for this repository alone.",
            "Find out who, and delete that object.",
        )
    if status is not None:
        return StorageError(
            shown,
            f"the store answers {answer}",
            "It has too much to do, or is being repaired."
            if status[1][0] == "5" or status[1] == "429"
            else "It takes the request for a wrong one.",
            _AGAIN,
        )
    if _NO_CREDENTIALS.search(text):
        return StorageError(
            shown,
            "there are no credentials for the store in this environment",
            "The store was not asked.",
            f"Set them as its own tools need them: {settings.credentials}.",
        )
    late = _LATE.search(text)
    return StorageError(
        shown,
        "the store does not answer in time" if late else "the store cannot be reached",
        f"The network, the store, or its address ({settings.endpoint}) is not as it has to be. "
        f"Without TLS it is asked only where {settings.without_tls} is true.",
        _AGAIN,
    )
