"""Hash-checking mode: the hashes that the user gives, which are checked besides the signatures.

Rule: as in pip, one hash anywhere means that everything that will be installed needs a hash and a
pinned version. Installed distributions need none.

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
    """The hashes that the user gave for each project.

    Args:
        requirements: The requirements that apply to the target.
        constraints: The constraints that apply to the target.
        required: Whether a project without a hash is an error.
        fetch: Fetches a signed file, to compute hashes of kinds that its page does not have.
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
                # If two lines name different hashes, a file must satisfy both.
                known = self._allowed.get(one.project, one.hashes)
                self._allowed[one.project] = known & one.hashes

    def allowed(self, project: NormalizedName) -> frozenset[str]:
        """The hashes that a file of the project may have; empty if the user gave none."""
        return self._allowed.get(project, frozenset())

    def check(
        self, project: NormalizedName, file: PageFile | UserFile, asked_by: SpecifierRequirement
    ) -> None:
        """Check that a file that was found by its project's name may be used.

        Raises:
            ResolutionError: Hashes are required, and the project has none or no pinned version.
            SecurepipError: The file's bytes are needed, and cannot be fetched.
            VerificationError: The file has none of the hashes that the user gave.
        """
        allowed = self.allowed(project)
        needs_hash = self._required or allowed or project in self._required_hashes
        if needs_hash and isinstance(file, PageFile) and file.sha256 == NOT_KNOWN_YET:
            file = file._replace(sha256=self._fetch(project, file).sha256)
        if allowed:
            _compare(file, partial(self._path_of, project, file), allowed, _quoted(asked_by))
        elif project in self._required_hashes:
            # Lines that name different hashes, which no file has all.
            asked = self._required_hashes[project]
            found = frozenset({f"sha256:{file.sha256}"})
            raise mismatch(file.filename, found, asked, _quoted(asked_by))
        elif self._required or project in self._allowed:
            raise _missing(file, asked_by)

    def check_direct(self, file: UserFile, asked: UserRequirement) -> None:
        """Check that the file that a path or URL names may be used.

        Raises:
            ResolutionError: Hashes are required, and neither the URL nor ``--hash`` has one.
            VerificationError: The file has none of the hashes that the user gave.
        """
        if self._required and not (asked.by_user and asked.acceptable):
            # As in pip, the hash in a dependency's URL does not count: the user did not give it.
            raise _without_hash(f"{asked.text} --hash=sha256:{file.sha256}")
        if asked.acceptable:
            _compare(file, lambda: file.path, asked.acceptable, asked.text)

    def _path_of(self, project: NormalizedName, file: PageFile | UserFile) -> Path:
        return file.path if isinstance(file, UserFile) else self._fetch(project, file).path

    def check_directory(self, asked: UserRequirement) -> None:
        """Check that a folder, which has no hash, may be used.

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
    """Check that a file has one of the allowed hashes.

    The index verifies the sha256 of a signed file when it fetches the file. Hashes of other kinds
    are computed here.

    Raises:
        VerificationError: The file has none of them.
        SecurepipError: ``path`` could not fetch the file.
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
    """The error for a file with none of the allowed hashes, in the form of pip's.

    Args:
        filename: Its name.
        found: Its hashes, ``sha256:…``.
        allowed: The hashes that it may have.
        asked: The requirement that has these hashes.
    """
    # The console indents all lines of an error but the first by two.
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
