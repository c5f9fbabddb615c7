"""Finds the site of a repository by the address that people type. Every command uses it."""

from __future__ import annotations

import os
import re
from importlib.util import find_spec
from pathlib import Path

from securepip.engine.address import SETTINGS, parse_store
from securepip.errors import UsageError
from securepip.redaction import redact
from securepip.signing.repository.config import CONFIG_NAME, STATE_DIR, UNFINISHED_DIR, load_config
from securepip.signing.repository.site import FolderSite, Site

DATABASE_VARIABLE = "SECUREPIP_DATABASE"
"""The environment variable with the address of the database. A command line would show the
password to all users of the machine."""

_INSTALL = "In the folder of securepip's source: python -m pip install '.[engine]'"
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+)://")


def site_of(address: str, database: str | None = None) -> Site:
    """The site of the repository at ``address``.

    Args:
        address: A folder, its ``file://`` URL, or the address of an object store:
            ``s3://bucket/prefix``, ``gs://bucket/prefix``, ``az://container/prefix``.
        database: The address of the PostgreSQL database with its memory; by default that of the
            environment variable. Without one, the memory is in a folder on this machine.

    Raises:
        UsageError: An address is malformed, or packages that it needs are not installed.
    """
    storing, url = storing_site(address), database_of(database)
    if url is None:
        return storing
    from securepip.engine.state import DatabaseSite

    return DatabaseSite(storing, url)


def database_of(database: str | None) -> str | None:
    """The address of the database, by default that of the environment variable; None for none.

    Raises:
        UsageError: It is malformed, or packages that it needs are not installed.
    """
    url = os.environ.get(DATABASE_VARIABLE) if database is None else database
    if not url:
        return None
    if _scheme(url) not in ("postgresql", "postgres"):
        # An address in libpq's other form, `host=… password=…`, is not shown: it has a password.
        shown = f": {redact(url)!r:.200}" if _scheme(url) else ""
        raise UsageError(
            f"not the address of a PostgreSQL database{shown}",
            remedy="It looks like postgresql://USER:PASSWORD@HOST/DATABASE.",
        )
    if find_spec("psycopg") is None or find_spec("procrastinate") is None:
        raise UsageError(
            "a database needs packages that are not here",
            remedy=_INSTALL,
        )
    return url


def storing_site(address: str, unfinished: str = UNFINISHED_DIR) -> Site:
    """As ``site_of``, without a database. ``unfinished`` is that of ``FolderSite``."""
    scheme = _scheme(address)
    if not scheme:
        return FolderSite(Path(address), unfinished)
    if scheme == "file":
        from securepip.transport import file_url_to_path  # imports everything that fetches

        return FolderSite(file_url_to_path(address), unfinished)
    if scheme not in SETTINGS:
        raise UsageError(
            f"no repository can be kept at an address that begins with {scheme}://",
            remedy="Name a folder, or a bucket: s3://BUCKET/PREFIX, gs://BUCKET/PREFIX or "
            "az://CONTAINER/PREFIX.",
        )
    if find_spec("obstore") is None:
        raise UsageError(
            "a repository in an object store needs packages that are not here",
            remedy=_INSTALL,
        )
    from securepip.engine.bucket import BucketSite

    return BucketSite(parse_store(address))


def memory_of(address: str, database: str | None) -> str:
    """The address of the database with the memory of a repository; "" if it is in a folder.

    A repository with its memory in a folder keeps it there, whatever the environment variable says.
    """
    if database is None and address:
        folder = storing_site(address).home.parent
        has_memory = (folder / STATE_DIR / CONFIG_NAME).exists()
        if has_memory and not load_config(folder).remembered_in:
            return ""
    return database_of(database) or ""


def is_store(address: str) -> bool:
    """Whether ``address`` is that of an object store."""
    return _scheme(address) in SETTINGS


def _scheme(address: str) -> str:
    match = _SCHEME.match(address)
    return match[1].lower() if match else ""
