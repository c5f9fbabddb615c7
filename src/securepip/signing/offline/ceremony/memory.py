"""What a key holder's machine remembers of what it has signed.

Rule: no version of a role is signed twice with different contents, nor after a later one. A server
that was taken over could show a state from before a claim as the current one, and have it signed
again without that claim: nothing would look wrong, and clients that saw the claim would lose it.

One JSON file in the user data folder, by the digest of the repository's first root.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path

from securepip.dirs import data_dir, replace_file
from securepip.errors import RepositoryStateError
from securepip.formats.digests import Sha256, sha256_of
from securepip.signing.offline.proposal import Duty

_NAME = "signed-at-ceremonies.json"

Signed = Mapping[str, tuple[int, Sha256]]


def check_not_signed_before(root_sha256: Sha256, duties: Iterable[Duty]) -> None:
    """See to it that nothing was signed before under these versions, or later ones.

    Raises:
        RepositoryStateError: Something was, or the memory cannot be read.
    """
    known = _load().get(root_sha256, {})
    for duty in duties:
        version, digest = known.get(duty.role, (0, None))
        ours = duty.metadata.signed.version
        if ours < version or (ours == version and _digest(duty) != digest):
            raise RepositoryStateError(
                f"version {version} of {duty.role} was signed on this machine before, and this is "
                f"version {ours}, with other contents",
                meaning="The server shows an older state as the current one. It may have been "
                "restored from a backup, or taken over by somebody who wants to undo a claim or a "
                "change of keys.",
                remedy="Do not sign. Ask the operator; `securepip repo audit` compares states.",
            )


def remember(root_sha256: Sha256, duties: Iterable[Duty]) -> None:
    """Remember what is about to be signed. Of several roots, the last one counts.

    Raises:
        RepositoryStateError: The memory cannot be read or written.
    """
    everything = _load()
    signed = {duty.role: (duty.metadata.signed.version, _digest(duty)) for duty in duties}
    everything[root_sha256] = {**everything.get(root_sha256, {}), **signed}
    path = _path()
    try:
        replace_file(path, json.dumps(everything, indent=1).encode())
    except OSError as error:
        raise RepositoryStateError(f"{path} cannot be written: {error.strerror}") from None


def _digest(duty: Duty) -> Sha256:
    return sha256_of(duty.metadata.signed_bytes)


def _path() -> Path:
    return data_dir() / _NAME


def _load() -> dict[str, Signed]:
    try:
        document = json.loads(_path().read_bytes())
        return {
            root: {role: (int(version), Sha256(digest)) for role, (version, digest) in each.items()}
            for root, each in document.items()
        }
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise RepositoryStateError(f"{_path()} cannot be read: {error}") from None
