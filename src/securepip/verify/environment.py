"""Checks a whole environment: identifies each distribution, fetches its wheel, and compares it.

First the index is asked for all distributions together, from one thread. Then each distribution is
compared, in parallel. Files that belong to no distribution are looked for last, when it is known
which files all distributions own.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType

from packaging.utils import NormalizedName

from securepip.errors import (
    FormatError,
    QuarantinedError,
    RepositoryUnavailableError,
    SecurepipError,
    UntrustedError,
    VerificationError,
)
from securepip.formats.digests import Sha256, sha256_of_stream
from securepip.formats.page import PageFile, ProjectPage
from securepip.index import Index, VerifiedFile
from securepip.installer import WheelCache
from securepip.resolver import InstalledDistribution, TargetEnvironment
from securepip.verify import origin
from securepip.verify.compare import (
    Installed,
    against_record,
    against_wheel,
    digests_of,
    stale_byte_code,
)
from securepip.verify.owned import Owner, owned_paths, start_up_rows
from securepip.verify.record import Area, read_record
from securepip.verify.strays import added_files, stray_files
from securepip.verify.types import NOT_SIGNED, Checked, Finding, Kind, Report, Status
from securepip.verify.wheel import Contents, read_wheel

_ALARMING = frozenset({Kind.CHANGED, Kind.MISSING, Kind.ADDED})


@dataclass(frozen=True)
class _Result:
    """The comparison of a distribution with one wheel.

    Attributes:
        findings: The differences.
        count: How many files were compared.
        contents: The contents of the wheel.
    """

    findings: list[Finding]
    count: int
    contents: Contents


@dataclass
class _Case:
    """The state of the check of one distribution.

    Attributes:
        found: The distribution, as the environment describes it.
        installed: Its folder, and the rows of its RECORD.
        own: The source that the user named directly; None if it came from an index. A wheel that
            says so of itself came from an index.
        page: The signed page of its project; None for none.
        wanted: The signed wheels that may have been installed, the likeliest first.
        has_sdist: Whether its release has a signed source distribution.
        signed: Those of ``wanted`` that were fetched.
        findings: The findings so far.
        status: Set where it could not be checked; None otherwise.
        results: The comparisons so far, by the name of the wheel; None for an unreadable wheel.
    """

    found: InstalledDistribution
    installed: Installed
    own: origin.Own | None
    page: ProjectPage | None = None
    wanted: list[PageFile] = field(default_factory=list)
    has_sdist: bool = False
    signed: list[VerifiedFile] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    status: Status | None = None
    results: dict[str, _Result | None] = field(default_factory=dict)


def verify(
    environment: TargetEnvironment,
    index: Index,
    built: WheelCache,
    projects: Sequence[NormalizedName] = (),
    written: Mapping[Path, bytes] = MappingProxyType({}),
) -> Report:
    """Check of each installed distribution whether it is what was signed.

    Args:
        environment: The environment to check.
        index: The verified index.
        built: The cache of wheels that were built on this machine.
        projects: Check only these; empty for all.
        written: The files that securepip itself writes there for its plugin, with their contents.

    Raises:
        UntrustedError: No repository is trusted.
        RepositoryUnavailableError: A trusted repository does not answer.
    """
    cases = {
        project: _Case(found, Installed(Area(folder.parent), folder, read_record(folder),
                                        environment.python), origin.own_of(folder))
        for project, found in environment.installed.items()
        if (folder := found.folder) is not None
    }  # fmt: skip
    chosen = [case for name, case in cases.items() if not projects or name in projects]
    _identify(chosen, environment, index)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        compared = list(pool.map(lambda case: _compare(case, environment, built), chosen))
    owners = [
        Owner(case.installed, contents)
        for case, (_, contents) in zip(chosen, compared, strict=True)
    ]
    others = [case for name, case in cases.items() if projects and name not in projects]
    owners += [Owner(case.installed, was_looked_at=False) for case in others]
    owned = owned_paths(owners)
    distributions = [
        replace(checked, findings=(*checked.findings, *added))
        for (checked, _), added in zip(
            compared, _added(chosen, [each for _, each in compared], owned), strict=True
        )
    ]
    distributions += [
        _without_folder(found)
        for name, found in environment.installed.items()
        if found.folder is None and (not projects or name in projects)
    ]
    distributions += [
        _not_installed(name) for name in projects if name not in environment.installed
    ]
    strays = () if projects else tuple(_strays(environment, owned, list(cases.values()), written))
    return Report(
        environment.python, tuple(sorted(distributions, key=lambda one: one.project)), strays
    )


def _identify(cases: Sequence[_Case], environment: TargetEnvironment, index: Index) -> None:
    """Find the signed wheels that may have been installed, and fetch the likeliest."""
    index.prefetch_pages(case.found.project for case in cases)
    for case in cases:
        try:
            case.page = index.page(case.found.project)
            _choose(case, environment)
        except RepositoryUnavailableError:
            raise
        except UntrustedError:
            if case.own is None:
                raise
        except SecurepipError as error:
            case.findings.append(_refused(error))
            case.status = Status.UNCHECKED
    # Other candidates are only fetched where the first one differs.
    wanted = [(case, file) for case in cases for file in case.wanted[:1]]
    try:
        files = index.fetch([(case.found.project, file) for case, file in wanted])
        for (case, _), verified in zip(wanted, files, strict=True):
            case.signed.append(verified)
    except SecurepipError:
        for case, file in wanted:
            _fetch_one(case, file, index)
    for case in cases:
        if len(case.wanted) > 1 and case.signed and not _is_equal(case, case.signed[0]):
            for file in case.wanted[1:]:
                _fetch_one(case, file, index)
        if case.own is not None:
            _check_own(case)


def _choose(case: _Case, environment: TargetEnvironment) -> None:
    page = case.page
    if page is None:
        return
    files = origin.files_of(page, case.found.version)
    case.wanted = origin.candidates(files, case.installed.dist_info, environment)
    case.has_sdist = origin.has_sdist(files)
    if page.status == "quarantined":
        why = f": {page.status_reason}" if page.status_reason else ""
        what = f"{page.project} is held in quarantine, because it may do harm{why}"
        case.findings.append(Finding(Kind.QUARANTINED, what))
    if files and all(file.yanked is not None for file, _ in files):
        why = next((file.yanked for file, _ in files if file.yanked), "")
        what = f"{case.found.version} was yanked by its project{why and f': {why}'}"
        case.findings.append(Finding(Kind.YANKED, what))


def _check_own(case: _Case) -> None:
    """Check who says that a distribution is the user's own: an installer, or the wheel itself.

    A signed wheel may contain a ``direct_url.json``. Without this check, nobody would compare what
    was installed from it.
    """
    name = origin.DIRECT_URL
    installed = digests_of(case.installed, [name]).get(name)
    for file in case.signed:
        result = _against(case, file)
        if result is None:
            continue
        member = result.contents.members.get(f"{result.contents.dist_info}/{name}")
        if member is not None and member.sha256 == installed:
            case.own = None
            what = f"its wheel contains the {name} that says where you installed it from"
            case.findings.append(Finding(Kind.NOTE, what, case.installed.dist_info / name))
            return
    # Apart from these, what is said of a release of an index is not said of the user's own one.
    telling = {Kind.REFUSED, *([Kind.QUARANTINED] if case.wanted else [])}
    case.findings = [finding for finding in case.findings if finding.kind in telling]


def _fetch_one(case: _Case, file: PageFile, index: Index) -> None:
    try:
        case.signed += index.fetch([(case.found.project, file)])
    except RepositoryUnavailableError:
        raise
    except SecurepipError as error:
        case.findings.append(_refused(error))
        case.status = Status.UNCHECKED


def _is_equal(case: _Case, file: VerifiedFile) -> bool:
    result = _against(case, file)
    return result is not None and not _alarming(result.findings)


def _against(case: _Case, file: VerifiedFile) -> _Result | None:
    """Compare with a signed wheel, once; None where the wheel cannot be read."""
    if file.filename not in case.results:
        try:
            contents = read_wheel(file.path, file.filename)
        except FormatError:
            case.results[file.filename] = None
        else:
            result = _Result(*against_wheel(case.installed, contents), contents)
            case.results[file.filename] = result
    return case.results[file.filename]


def _compare(
    case: _Case, environment: TargetEnvironment, built: WheelCache
) -> tuple[Checked, Contents | None]:
    """Find the wheel that a distribution comes from, and compare it.

    Returns:
        The result, and the contents of the wheel, if there is one.
    """
    checked = Checked(
        case.found.project,
        _version(case.found),
        case.found.location,
        case.status or Status.UNSIGNED,
        installer=origin.installer_of(case.installed.dist_info),
    )
    findings = list(case.findings)
    if case.own is not None:
        more, count = against_record(case.installed)
        own = replace(checked, status=case.own.status, source=case.own.url, files=count)
        return _finished(own, case, [*findings, *more], None)
    best, other = _best(case), None
    if best is None or _alarming(best[1].findings):
        other = _built_or_bundled(case, environment, built)
    if other is not None:
        status, path, result = other
        named = replace(
            checked, status=status, filename=path.name, sha256=_digest(path), files=result.count
        )
        return _finished(named, case, [*findings, *result.findings], result.contents)
    if best is not None:
        file, result = best
        signed = replace(
            checked,
            status=Status.SIGNED,
            repository=file.repository,
            filename=file.filename,
            sha256=file.sha256,
            files=result.count,
        )
        return _finished(signed, case, [*findings, *result.findings], result.contents)
    more, count = against_record(case.installed)
    status, why = _unproved(case)
    if why is not None:
        more.insert(0, why)
    checked = replace(checked, status=status, files=count)
    return _finished(checked, case, [*findings, *more], None)


def _best(case: _Case) -> tuple[VerifiedFile, _Result] | None:
    """The signed wheel with the fewest differences, and the comparison with it."""
    results = [
        (file, result) for file in case.signed if (result := _against(case, file)) is not None
    ]
    return min(results, key=lambda each: len(each[1].findings), default=None)


def _built_or_bundled(
    case: _Case, environment: TargetEnvironment, built: WheelCache
) -> tuple[Status, Path, _Result] | None:
    """Find a wheel that was built here or comes with Python, and that equals what is installed.

    One that comes with Python is also accepted with differences if no signed wheel was fetched.
    """
    wheels: list[tuple[Status, Path]] = []
    if case.status is not None:
        return None
    version = case.found.version
    if case.has_sdist:
        wheels += [(Status.BUILT, path) for path in built.built(case.found.project, version)]
    # Also where this release is signed: operating systems modify the pip that they ship.
    bundled = origin.with_python(case.found.project, version, environment)
    wheels += [(Status.WITH_PYTHON, path) for path in bundled]
    for status, path in wheels:
        try:
            contents = read_wheel(path, path.name)
        except FormatError:
            continue
        result = _Result(*against_wheel(case.installed, contents), contents)
        if not _alarming(result.findings) or (status is Status.WITH_PYTHON and not case.signed):
            return status, path, result
    return None


def _unproved(case: _Case) -> tuple[Status, Finding | None]:
    """The status of a distribution without a wheel to compare with, and the finding about it."""
    project, version = case.found.project, _version(case.found)
    if case.status is not None:
        return case.status, None
    if case.page is None:
        what = f"no trusted repository signs {project}"
        return Status.UNSIGNED, Finding(Kind.UNSIGNED, what, exit_code=NOT_SIGNED)
    if case.has_sdist:
        what = (
            f"{project} {version} is signed as source alone, and what is here was not built by "
            "this machine's securepip: only its own RECORD was compared"
        )
        return Status.BUILT, Finding(Kind.NOTE, what, exit_code=0)
    if case.wanted:
        what = "its signed wheel cannot be read"
        return Status.UNCHECKED, Finding(Kind.UNCHECKED, what)
    what = f"{project} is signed, {version} is not: it was withdrawn, or never published there"
    return Status.WITHDRAWN, Finding(Kind.WITHDRAWN, what, exit_code=NOT_SIGNED)


def _finished(
    checked: Checked, case: _Case, findings: list[Finding], contents: Contents | None
) -> tuple[Checked, Contents | None]:
    """Add the findings, and those about byte code, to a result."""
    names = contents.members if contents is not None else case.installed.rows or {}
    sources = [path for path in names if path.endswith(".py")]
    findings += stale_byte_code(case.installed, sources)
    return replace(checked, findings=tuple(findings)), contents


def _added(
    cases: Sequence[_Case], contents: Sequence[Contents | None], owned: Collection[str]
) -> Iterator[list[Finding]]:
    """Find files added to the folders of each distribution; a shared folder is checked once."""
    seen: set[Path] = set()
    for case, inside in zip(cases, contents, strict=True):
        library = case.installed.area.library
        names = {*(case.installed.rows or ()), *(inside.members if inside else ())}
        tops = {name.partition("/")[0] for name in names if "/" in name and name[:2] != ".."}
        folders = {library / top for top in tops if top != "__pycache__"}
        folders.add(case.installed.dist_info)
        new = sorted(folder for folder in folders - seen if folder.is_dir())
        seen |= folders
        yield list(added_files(new, owned))


def _strays(
    environment: TargetEnvironment,
    owned: Collection[str],
    cases: Sequence[_Case],
    written: Mapping[Path, bytes],
) -> Iterator[Finding]:
    known = {found.folder for found in environment.installed.values() if found.folder}
    known |= {found.entry for found in environment.installed.values() if found.entry is not None}
    names = {row: case.found.project for case in cases for row in start_up_rows(case.installed)}
    for library in {environment.purelib.resolve(): environment.purelib,
                    environment.platlib.resolve(): environment.platlib}.values():  # fmt: skip
        yield from stray_files(library, owned, known, names, written)


def _without_folder(found: InstalledDistribution) -> Checked:
    finding = Finding(
        Kind.UNSIGNED,
        "it was installed in an old form, without RECORD, as operating systems do: nothing of it "
        "can be compared",
        exit_code=NOT_SIGNED,
    )
    return Checked(found.project, _version(found), found.location, Status.UNSIGNED, (finding,))


def _not_installed(project: NormalizedName) -> Checked:
    finding = Finding(Kind.NOT_INSTALLED, f"{project} is not installed there")
    return Checked(project, "", "", Status.MISSING, (finding,))


def _refused(error: SecurepipError) -> Finding:
    if isinstance(error, VerificationError):
        return Finding(Kind.REFUSED, error.what, exit_code=NOT_SIGNED)
    if isinstance(error, QuarantinedError):
        return Finding(Kind.QUARANTINED, error.what)
    return Finding(Kind.UNCHECKED, error.what)


def _alarming(findings: Sequence[Finding]) -> bool:
    return any(finding.kind in _ALARMING for finding in findings)


def _version(found: InstalledDistribution) -> str:
    try:
        return str(found.version)
    except SecurepipError:
        return ""


def _digest(path: Path) -> Sha256 | str:
    try:
        with path.open("rb") as stream:
            return sha256_of_stream(stream)[0]
    except OSError:
        return ""
