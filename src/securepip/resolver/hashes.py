"""Hash-checking mode: what the user demands of files beyond the repository's signature.

Rule: as in pip, one hash anywhere means that everything that is to be installed needs one, and a
version that cannot change. What is installed already is not asked.

Source: pip's documentation, "Hash-checking Mode".
"""

from __future__ import annotations

from collections.abc import Iterable

from packaging.utils import NormalizedName, canonicalize_name

from securepip.errors import ResolutionError, VerificationError
from securepip.formats.digests import Sha256
from securepip.resolver.candidates import OfferedFile
from securepip.resolver.graph import SpecifierRequirement
from securepip.resolver.requirements import UserRequirement


class HashRules:
    """The hashes that the user named, for each project.

    Args:
        asked: Requirements and constraints that apply to the target.
        required: Whether a project without a hash is an error.
    """

    def __init__(self, asked: Iterable[UserRequirement], *, required: bool) -> None:
        self._required = required
        self._allowed: dict[NormalizedName, frozenset[Sha256]] = {}
        for one in asked:
            if one.requirement is not None and one.hashes:
                project = canonicalize_name(one.requirement.name)
                # Two lines that name different hashes are both to be obeyed.
                known = self._allowed.get(project, one.hashes)
                self._allowed[project] = known & one.hashes

    def allowed(self, project: NormalizedName) -> frozenset[Sha256]:
        """The digests that a file of the project may have; empty when the user named none."""
        return self._allowed.get(project, frozenset())

    def check(
        self, project: NormalizedName, offered: OfferedFile, asked_by: SpecifierRequirement
    ) -> None:
        """See that this file may be used.

        Raises:
            ResolutionError: Hashes are required and the project has none, or no pinned version.
            VerificationError: It has another hash than those that the user named.
        """
        if project in self._allowed:
            if offered.file.sha256 not in self._allowed[project]:
                raise self._mismatch(project, offered, asked_by)
        elif self._required:
            raise _missing(offered, asked_by)

    def _mismatch(
        self, project: NormalizedName, offered: OfferedFile, asked_by: SpecifierRequirement
    ) -> VerificationError:
        expected = "\n             or ".join(sorted(self._allowed[project])) or "none"
        return VerificationError(
            "THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS FILE.\n"
            f"    {_quoted(asked_by)} ({offered.file.filename}):\n"
            f"        Expected sha256 {expected}\n"
            f"             Got        {offered.file.sha256}",
            meaning="The repository signs another file than the one that you named.",
            remedy="If you have updated the package versions, please update the hashes. Otherwise, "
            "examine the package contents carefully; someone may have tampered with them.",
        )


def _missing(offered: OfferedFile, asked_by: SpecifierRequirement) -> ResolutionError:
    specifiers = list(asked_by.specifier)
    if len(specifiers) != 1 or specifiers[0].operator not in ("==", "==="):
        return ResolutionError(
            "In --require-hashes mode, all requirements must have their versions pinned with ==. "
            f"These do not:\n    {_quoted(asked_by)}",
            remedy="Hash-checking turns on when any requirement has a hash; name them all.",
        )
    return ResolutionError(
        "Hashes are required in --require-hashes mode, but they are missing from some "
        f"requirements:\n    {asked_by.text} --hash=sha256:{offered.file.sha256}",
        meaning="That is the hash of the file that the repository signs.",
        remedy="Hash-checking turns on when any requirement has a hash; name them all.",
    )


def _quoted(asked_by: SpecifierRequirement) -> str:
    return f"{asked_by.text} (from {asked_by.comes_from})" if asked_by.comes_from else asked_by.text
