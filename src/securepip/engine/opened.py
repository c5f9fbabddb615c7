"""Where a repository is, by the address that people type. Every command opens it by this alone."""

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
"""The environment variable that names the database: its password is in no list of processes."""

_INSTALL = "In the folder of securepip's source: python -m pip install '.[engine]'"
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+)://")


def site_of(address: str, database: str | None = None) -> Site:
    """The places of the repository at ``address``.

    Args:
        address: A folder, its ``file://`` URL, or that of an object store: ``s3://bucket/prefix``,
            ``gs://bucket/prefix``, ``az://container/prefix``.
        database: The address of the PostgreSQL database that remembers what it has signed; by
            default the one that the environment names. Without one, a folder of this machine
            remembers.

    Raises:
        UsageError: It is none of these, or that is no address of a database, or packages that
            either needs are not here.
    """
    storing, url = storing_site(address), database_of(database)
    if url is None:
        return storing
    from securepip.engine.state import DatabaseSite

    return DatabaseSite(storing, url)


def database_of(database: str | None) -> str | None:
    """The database that is named, here or in the environment; None for none.

    Raises:
        UsageError: That is no address of one, or packages are missing.
    """
    url = os.environ.get(DATABASE_VARIABLE) if database is None else database
    if not url:
        return None
    if _scheme(url) not in ("postgresql", "postgres"):
        # libpq's other form, `host=… password=…`, would be shown with the password.
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
    """As ``site_of``, without a database; ``unfinished`` as for ``FolderSite``."""
    scheme = _scheme(address)
    if not scheme:
        return FolderSite(Path(address), unfinished)
    if scheme == "file":
        from securepip.transport import file_url_to_path  # with it comes all that fetches

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
    """The database that remembers for the repository at ``address``; "" for a folder.

    A repository that has its memory beside it goes on with that, whatever the environment says.
    """
    if database is None and address:
        folder = storing_site(address).home.parent
        remembers = (folder / STATE_DIR / CONFIG_NAME).exists()
        if remembers and not load_config(folder).remembered_in:
            return ""
    return database_of(database) or ""


def is_store(address: str) -> bool:
    """Whether it is the address of an object store."""
    return _scheme(address) in SETTINGS


def _scheme(address: str) -> str:
    match = _SCHEME.match(address)
    return match[1].lower() if match else ""
