"""Checks what a new page of a project may change, and says which signed targets it changes.

Rule: a file name keeps its bytes for ever, and a revoked file stays revoked, unless a person says
otherwise (``repo accept-change``, ``--restore``).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from packaging.utils import NormalizedName
from tuf.api.metadata import Metadata, TargetFile, Targets

from securepip.errors import RepositoryStateError
from securepip.formats.digests import NOT_KNOWN_YET, Sha256
from securepip.formats.layout import check_filename, file_target, is_own_url, page_target
from securepip.formats.page import ProjectPage
from securepip.signing.repository.pages.contents import Contents, NewFile, files_of
from securepip.signing.repository.roles import Roles
from securepip.signing.repository.state.ledger import Ledger


def check_page(
    page: ProjectPage,
    current: ProjectPage | None,
    files: Sequence[NewFile],
    ledger: Ledger,
    contents: Contents,
) -> None:
    """Check that a page may replace the current one.

    Args:
        page: The new page.
        current: The current page; None if there is none.
        files: The new distributions on it.
        ledger: Knows what was ever signed or revoked. It remembers a refusal.
        contents: The distributions in the repository.

    Raises:
        RepositoryStateError: A file name has other bytes than before, or was revoked; or a file of
            this repository is neither in it nor in ``files``.
        FormatError: The page lists a file whose name is not that of a distribution.
    """
    project = page.project
    known, withdrawn = ledger.bounds(project)
    coming = {file.filename for file in files if file.project == project}
    for file in page.files:
        before = current.file(file.filename) if current else None
        stays = before is not None and before.sha256 == file.sha256
        # Published files never change: a stolen account must not replace a release that people use.
        # A person may have accepted other bytes, but until these come, those on the page stay.
        if not stays and known.get(file.filename, file.sha256) != file.sha256:
            ledger.refuse(project, file.filename, file.sha256)
            raise RepositoryStateError(
                f"{file.filename} was signed before with other bytes",
                meaning=f"sha256 then: {known[file.filename]}\nsha256 now:  {file.sha256}",
                remedy="Give the new build a new version or build number. If you know better: "
                f"securepip repo accept-change {contents.storage.address} {file.filename}",
            )
        if withdrawn.covers(file.filename):
            raise RepositoryStateError(
                f"{file.filename} was removed from this repository",
                remedy="With --restore it can be published again.",
            )
        if is_own_url(file.url, project, check_filename(file.filename)):
            if before and before.sha256 != file.sha256 and before.url == file.url:
                raise RepositoryStateError(
                    f"{file.filename} is here with other bytes",
                    remedy=f"securepip repo remove {contents.storage.address} {file.filename}",
                )
            # A file on the current page was here when that page was signed. Checking it again would
            # cost a request for each old file if the storage is a bucket.
            is_offered = before is not None and (before.url, before.sha256) == (
                file.url,
                file.sha256,
            )
            if not is_offered and file.filename not in coming and not contents.holds(project, file):
                raise RepositoryStateError(f"{file.filename} is not in this repository")


def edits_of(
    before: ProjectPage | None,
    after: ProjectPage | None,
    place: Callable[[ProjectPage, bytes], Sha256],
    written: bytes | None = None,
    *,
    anew: bool = False,
) -> dict[str, TargetFile | None]:
    """Write the new page, and say which targets change.

    Args:
        before: The current page; None if there is none.
        after: The new page; None to remove the project.
        place: Writes a serialized page, and returns its digest.
        written: The serialized new page, if the caller has it.
        anew: Whether files on the current page may have no target, so that all are set again.

    Returns:
        The new target for each path that changes; None if it is removed.
    """
    old, new = signed_files(before), signed_files(after)
    if after is not None:
        data = after.to_json() if written is None else written
        new[page_target(after.project)] = len(data), place(after, data)
    edits: dict[str, TargetFile | None] = dict.fromkeys(old.keys() - new.keys())
    if before is not None and after is None:
        edits[page_target(before.project)] = None
    for path, (length, sha256) in new.items():
        if anew or old.get(path) != (length, sha256):
            edits[path] = TargetFile(length, {"sha256": sha256}, path)
    return edits


def apply_edits(
    roles: Roles, edits: Mapping[str, TargetFile | None]
) -> dict[str, Metadata[Targets]]:
    """The bins that change, by name, with their changes."""
    changed: dict[str, Metadata[Targets]] = {}
    for path, target in edits.items():
        name = roles.bin_of(path)
        changed[name] = roles.role(name)
        if target is None:
            changed[name].signed.targets.pop(path, None)
        else:
            changed[name].signed.targets[path] = target
    return changed


def signed_files(page: ProjectPage | None) -> dict[str, tuple[int, Sha256]]:
    """The length and digest of each distribution on a page, by target path."""
    return {
        file_target(page.project, file.filename): (file.size, file.sha256)
        for file in files_of(page)
        if page is not None and file.size is not None
    }


def digests_of(page: ProjectPage | None) -> list[tuple[NormalizedName, str, Sha256]]:
    """Project, file name and digest of the distributions on a page, as the ledger keeps them."""
    return [
        (page.project, file.filename, file.sha256)
        for file in files_of(page)
        if page and file.sha256 != NOT_KNOWN_YET
    ]
