"""Parses the address of a repository in an object store."""

from __future__ import annotations

import re
from dataclasses import dataclass

from securepip.errors import UsageError


@dataclass(frozen=True)
class Settings:
    """The names of the environment variables with which obstore reaches a store.

    Attributes:
        credentials: The variables with the credentials, in words.
        endpoint: The variable with the endpoint, if it is not the provider's own.
        without_tls: The variable that allows connections without TLS.
    """

    credentials: str
    endpoint: str
    without_tls: str


SETTINGS = {
    "s3": Settings(
        "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY", "AWS_ENDPOINT_URL", "AWS_ALLOW_HTTP"
    ),
    "gs": Settings("GOOGLE_APPLICATION_CREDENTIALS", "GOOGLE_BASE_URL", "GOOGLE_ALLOW_HTTP"),
    "az": Settings(
        "AZURE_STORAGE_ACCOUNT_NAME and AZURE_STORAGE_ACCOUNT_KEY",
        "AZURE_STORAGE_ENDPOINT",
        "AZURE_ALLOW_HTTP",
    ),
}
"""The settings by scheme: S3-compatible stores, Google Cloud Storage, Azure."""

_ADDRESS = re.compile(r"(s3|gs|az)://([A-Za-z0-9][A-Za-z0-9._-]{1,254})((?:/[A-Za-z0-9._~-]+)*)/*")


@dataclass(frozen=True)
class StoreAddress:
    """The address of a repository in an object store. ``str`` gives its canonical form.

    Attributes:
        scheme: A key of ``SETTINGS``.
        bucket: The bucket or container.
        prefix: The prefix of all names, without a slash at either end; may be "".
    """

    scheme: str
    bucket: str
    prefix: str

    def __str__(self) -> str:
        place = f"{self.bucket}/{self.prefix}" if self.prefix else self.bucket
        return f"{self.scheme}://{place}"


def parse_store(address: str) -> StoreAddress:
    """Parse an address that a person has typed.

    Raises:
        UsageError: It is malformed, or holds a password.
    """
    match = _ADDRESS.fullmatch(address)
    parts = match[3].strip("/").split("/") if match and match[3] else []
    if match is None or any(not part.strip(".") for part in parts):
        shown = "it holds a password" if "@" in address else f"{address!r:.200}"
        raise UsageError(
            f"not the address of a bucket: {shown}",
            remedy="It is s3://BUCKET/PREFIX, gs://BUCKET/PREFIX or az://CONTAINER/PREFIX, of "
            "letters, digits and . _ ~ -. Credentials and endpoint are said in the environment.",
        )
    return StoreAddress(match[1], match[2], "/".join(parts))
