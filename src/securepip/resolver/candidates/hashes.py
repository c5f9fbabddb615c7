"""Hash-checking mode: what the user demands of files beyond the repository's signature.

Rule: as in pip, one hash anywhere means that everything that is to be installed needs one, and a
version that cannot change. What is installed already is not asked.

Source: pip's documentation, "Hash-checking Mode".
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from packaging.utils import NormalizedName

from securepip.errors import ResolutionError, VerificationError
from securepip.formats.digests import NOT_KNOWN_YET
from securepip.formats.page import PageFile
from securepip.index.types import UserFile, VerifiedFile
from securepip.resolver.candidates.graph import SpecifierRequirement
from securepip.resolver.requirements.links import hashes_of
from securepip.resolver.requirements.types import UserRequirement


class HashRules:
    """The hashes that the user named, for each project.

    Args:
        requirements: Those that apply to the target.
        constraints: Those that apply to the target.
        required: Whether a project without a hash is an error.
        fetch: Gives the bytes of a signed file, where a hash is named that its page does not sign.
    """

    def __init__(
        self,
        requirements: Sequence[UserRequirement],
        constraints: Sequence[UserRequirement] = (),
        *,
        required: bool,
        fetch: Callable[[NormalizedName, PageFile], VerifiedFile],
    ) -> None:
        self._required = required
        self._fetch = fetch
        self._allowed: dict[NormalizedName, frozenset[str]] = {}
        self._required_hashes: dict[NormalizedName, frozenset[str]] = {}
        for one in requirements:
            if one.project is not None and one.hashes and one.link is None:
                known = self._required_hashes.get(one.project, frozenset())
                self._required_hashes[one.project] = known | one.hashes
        for one in (*requirements, *constraints):
            if one.project is not None and one.hashes and one.link is None:
                # Two lines that name different hashes are both to be obeyed.
                known = self._allowed.get(one.project, one.hashes)
                self._allowed[one.project] = known & one.hashes

    def allowed(self, project: NormalizedName) -> frozenset[str]:
        """The hashes that a file of the project may have; empty when the user named none."""
        return self._allowed.get(project, frozenset())

    def check(
        self, project: NormalizedName, file: PageFile | UserFile, asked_by: SpecifierRequirement
    ) -> None:
        """See that this file, found under the project's name, may be used.

        Raises:
            ResolutionError: Hashes are required and the project has none, or no pinned version.
            SecurepipError: Its bytes are needed, and cannot be fetched.
            VerificationError: It has another hash than those that the user named.
        """
        allowed = self.allowed(project)
        wants_one = self._required or allowed or project in self._required_hashes
        if wants_one and isinstance(file, PageFile) and file.sha256 == NOT_KNOWN_YET:
            file = file._replace(sha256=self._fetch(project, file).sha256)
        if allowed:
            _compare(file, partial(self._path_of, project, file), allowed, _quoted(asked_by))
        elif project in self._required_hashes:
            # Lines that name different hashes: nothing has them all.
            asked = self._required_hashes[project]
            found = frozenset({f"sha256:{file.sha256}"})
            raise mismatch(file.filename, found, asked, _quoted(asked_by))
        elif self._required or project in self._allowed:
            raise _missing(file, asked_by)

    def check_direct(self, file: UserFile, asked: UserRequirement) -> None:
        """See that what a path or URL leads to may be used.

        Raises:
            ResolutionError: Hashes are required, and neither the URL nor ``--hash`` has one.
            VerificationError: It has another hash than those that the user named.
        """
        if self._required and not (asked.by_user and asked.acceptable):
            # As in pip: what a dependency says of itself is no hash that the user gave.
            raise _without_hash(f"{asked.text} --hash=sha256:{file.sha256}")
        if asked.acceptable:
            _compare(file, lambda: file.path, asked.acceptable, asked.text)

    def _path_of(self, project: NormalizedName, file: PageFile | UserFile) -> Path:
        return file.path if isinstance(file, UserFile) else self._fetch(project, file).path

    def check_directory(self, asked: UserRequirement) -> None:
        """See that a folder may be used: it has no hash.

        Raises:
            ResolutionError: Hashes are required.
        """
        if not self._required:
            return
        if asked.editable:
            raise ResolutionError(
                f"The editable requirement {asked.text} cannot be installed when requiring hashes, "
                "because there is no single file to hash."
            )
        raise ResolutionError(
            "Can't verify hashes for these file:// requirements because they point to directories:"
            f"\n    {asked.text}"
        )


def _compare(
    file: PageFile | UserFile, path: Callable[[], Path], allowed: frozenset[str], asked: str
) -> None:
    """See that a file has one of the hashes that it may have.

    A signed page names files by their sha256 alone; whoever hands out the bytes has compared that.
    What the user names otherwise is compared with the bytes here.
    """
    kinds = {one.partition(":")[0] for one in allowed}
    found = {f"sha256:{file.sha256}"} if "sha256" in kinds else set()
    if not found & allowed and kinds - {"sha256"}:
        found |= hashes_of(path(), kinds - {"sha256"})[0]
    if not found & allowed:
        raise mismatch(file.filename, frozenset(found), allowed, asked)


def mismatch(
    filename: str, found: frozenset[str], allowed: frozenset[str], asked: str
) -> VerificationError:
    """The error of a file that has none of the hashes it may have, in pip's lines.

    Args:
        filename: Its name.
        found: Its hashes, ``sha256:…``.
        allowed: Those it may have.
        asked: Who says so.
    """
    # Whoever prints an error moves its further lines in by two.
    lines = []
    for kind, _, digest in (one.partition(":") for one in sorted(found)):
        expected = sorted(one.partition(":")[2] for one in allowed if one.startswith(f"{kind}:"))
        lines.append(f"      Expected {kind} {expected[0] if expected else 'none'}")
        lines += [f"           or        {one}" for one in expected[1:]]
        lines.append(f"           Got        {digest}")
    return VerificationError(
        "THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS FILE. If you have updated "
        "the package versions, please update the hashes. Otherwise, examine the package contents "
        f"carefully; someone may have tampered with them.\n  {asked} ({filename}):\n"
        + "\n".join(lines),
        meaning="It is another file than the one that you named.",
    )


def _missing(file: PageFile | UserFile, asked_by: SpecifierRequirement) -> ResolutionError:
    specifiers = list(asked_by.specifier)
    if len(specifiers) != 1 or specifiers[0].operator not in ("==", "==="):
        return ResolutionError(
            "In --require-hashes mode, all requirements must have their versions pinned with ==. "
            f"These do not:\n    {_quoted(asked_by)}",
            remedy="Hash-checking turns on when any requirement has a hash; name them all.",
        )
    return _without_hash(f"{asked_by.text} --hash=sha256:{file.sha256}")


def _without_hash(line: str) -> ResolutionError:
    return ResolutionError(
        "Hashes are required in --require-hashes mode, but they are missing from some requirements."
        " Here is a list of those requirements along with the hashes their downloaded archives "
        f"actually had:\n    {line}",
        meaning="Add lines like these to your requirements files to prevent tampering.",
        remedy="Hash-checking turns on when any requirement has a hash; name them all.",
    )


def _quoted(asked_by: SpecifierRequirement) -> str:
    return f"{asked_by.text} (from {asked_by.comes_from})" if asked_by.comes_from else asked_by.text
