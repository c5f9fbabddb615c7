"""``direct_url.json``: that a distribution comes from what the user named by path or URL.

Rule: the bytes are pip's, so that ``pip freeze`` and ``pip list`` say of it what they say after
pip. pip itself was given a private copy, and must not say that.

Sources: PEP 610; its ``archive_info`` also carries the older ``hash``, as pip writes it.
"""

from __future__ import annotations

import json

from securepip.index.types import UserDirectory, UserFile
from securepip.resolver.plan import PlannedFile


def direct_url_of(planned: PlannedFile) -> bytes | None:
    """What its ``direct_url.json`` holds, or None when it has none.

    It has none when it comes from a repository or from a ``--find-links`` folder.
    """
    file = planned.file
    if not planned.is_direct or not isinstance(file, UserFile | UserDirectory):
        return None
    said: dict[str, object] = {"url": file.url}
    if isinstance(file, UserDirectory):
        said["dir_info"] = {"editable": True} if file.editable else {}
    else:
        name, _, digest = (file.url_hash or f"sha256={file.sha256}").partition("=")
        said["archive_info"] = {"hash": f"{name}={digest}", "hashes": {name: digest}}
    if file.subdirectory:
        said["subdirectory"] = file.subdirectory
    return json.dumps(said, sort_keys=True).encode()
