"""How to choose: the options of the resolver, and what it may ask of a builder."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from packaging.utils import NormalizedName

from securepip.formats.page import PageFile


@dataclass(frozen=True)
class ResolveOptions:
    """pip's options that concern choosing.

    Attributes:
        upgrade: ``-U``: newer versions of what the user names; dependencies only where needed.
        prereleases: ``--pre``.
        no_deps: ``--no-deps``.
        require_hashes: ``--require-hashes``.
    """

    upgrade: bool = False
    prereleases: bool = False
    no_deps: bool = False
    require_hashes: bool = False


class SdistMetadata(Protocol):
    """Runs the build backend of a source distribution to learn its metadata."""

    def __call__(self, project: NormalizedName, file: PageFile) -> bytes:
        """The METADATA that the wheel built from ``file`` will have.

        The implementation fetches the file from the verified index before it runs anything of it.

        Raises:
            SecurepipError: It could not be fetched, verified or built. This ends the resolution,
                as a build that fails does in pip.
        """
