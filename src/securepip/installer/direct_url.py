"""``direct_url.json``: records that the user named a distribution by path or URL.

Rule: the bytes are those that pip would write, so that ``pip freeze`` and ``pip list`` print the
same. pip itself gets a private copy, and would record the copy's path.

Sources: PEP 610. As in pip, ``archive_info`` also has the older field ``hash``.
"""

from __future__ import annotations

import json

from securepip.index.types import UserDirectory, UserFile
from securepip.resolver.plan import PlannedFile


def direct_url_of(planned: PlannedFile) -> bytes | None:
    """The contents of its ``direct_url.json``; None if it has none.

    A distribution from a repository, or from a ``--find-links`` folder, has none.
    """
    file = planned.file
    if not planned.is_direct or not isinstance(file, UserFile | UserDirectory):
        return None
    document: dict[str, object] = {"url": file.url}
    if isinstance(file, UserDirectory):
        document["dir_info"] = {"editable": True} if file.editable else {}
    else:
        name, _, digest = (file.url_hash or f"sha256={file.sha256}").partition("=")
        document["archive_info"] = {"hash": f"{name}={digest}", "hashes": {name: digest}}
    if file.subdirectory:
        document["subdirectory"] = file.subdirectory
    return json.dumps(document, sort_keys=True).encode()
