"""Coming back after keys were stolen: the steps of both PEPs, in one run that can be repeated.

1. Find the state to come back to (``restore``), and put its files here.
2. Make new keys for timestamp, snapshot, recently-claimed and the bins, and for targets and bins;
   for claimed and root too, if those were stolen.
3. Have the offline keys sign the roots and the frame that name them.
4. Make it current: a root with old and new keys, one snapshot with everything, the final root.
5. Put aside what is of no state that is believed, and say what was done.

Rule: timestamp and snapshot always get new keys. What the thief signed, however high its version,
then counts for no client: each drops what its root does not name any more (TUF specification
5.3.11), and comes back by itself. Roles that are used no more stay in the snapshot, empty.

Source: PEP 458 and PEP 480, "In the event of a key compromise".
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime, timezone
from pathlib import Path

from packaging.utils import NormalizedName, is_normalized_name
from securesystemslib.signer import Key
from tuf.api.exceptions import RepositoryError
from tuf.api.metadata import Metadata, Root, Targets

from securepip.errors import RepositoryStateError, UsageError, VerificationError
from securepip.formats.digests import Sha256, parse_sha256, sha256_of
from securepip.formats.layout import (
    BINS_ROLE,
    CLAIMED_ROLE,
    METADATA_DIR,
    METADATA_SUFFIX,
    PACKAGES_DIR,
    PAGE_NAME,
    RECENTLY_CLAIMED_ROLE,
    SIMPLE_DIR,
    consistent_path,
    file_target,
    page_target,
    project_of_target,
)
from securepip.formats.page import ProjectPage
from securepip.signing.keys import ring as keys
from securepip.signing.offline.audit import TargetChange, compare, read_state
from securepip.signing.offline.bundle import (
    add_current,
    add_roots,
    read_bundle,
    write_bundle,
)
from securepip.signing.offline.proposal import Proposal, Replacement, check_signed, propose
from securepip.signing.offline.restore import Restored, next_version, restore
from securepip.signing.offline.rotate import NewKeys, all_keyids, keys_of, prepare_keys
from securepip.signing.repository.config import STATE_DIR
from securepip.signing.repository.files import flush
from securepip.signing.repository.log import ANCHOR_FIELD, SignedRole
from securepip.signing.repository.repository import HTML_NAME, Repository
from securepip.signing.repository.roles import Roles

ALWAYS = ("targets", BINS_ROLE)
"""Offline roles that get new keys in any case, as both PEPs ask."""

STEALABLE = (*ALWAYS, CLAIMED_ROLE, "root")
"""Offline roles whose keys may have been stolen too: what they signed is not believed then."""

RECOVERY_DIR = "recovery"
_FINDINGS_NAME = "findings.json"
_ASIDE_DIR = "set-aside"
_REPORTS_DIR = "reports"


@dataclass(frozen=True)
class Findings:
    """What is wrong, before anything is done about it.

    Attributes:
        valid: Whether the current state is validly signed, by whomever.
        problem: What is wrong with its signatures, where it is not.
        changes: How the targets of the current state differ from those of the copy; of none that
            is not valid, nothing can be said.
        copy_snapshot: The version of the copy's snapshot.
        resumed: Whether this goes on with what had been interrupted.
    """

    valid: bool
    problem: str
    changes: tuple[TargetChange, ...]
    copy_snapshot: int
    resumed: bool = False


@dataclass(frozen=True)
class Recovered:
    """The report of what was done.

    Attributes:
        time: When (UTC).
        keys_gone: The ids of the keys that count no more.
        keys_came: Those of the new ones.
        restored: Targets that are as they were in the copy again.
        dropped: Targets that are there no more: they are not in the copy.
        kept: Projects whose own signed releases from after the copy were kept.
        unclaimed: Projects that have to claim again.
        lost: What could not be restored, and why, by target path.
        set_aside: Where the files lie that belong to no state that is believed.
        root_version: Of the new root.
        snapshot_version: Of the new snapshot.
    """

    time: datetime
    keys_gone: tuple[str, ...]
    keys_came: tuple[str, ...]
    restored: tuple[str, ...]
    dropped: tuple[str, ...]
    kept: tuple[str, ...]
    unclaimed: tuple[str, ...]
    lost: dict[str, str]
    set_aside: str
    root_version: int
    snapshot_version: int


@dataclass(frozen=True)
class OfflineKeys:
    """How the offline keys take part.

    Attributes:
        new: Where new ones are stored, if they are made here.
        coming: Public keys that their holders have made themselves, by role, instead.
        bundle: What is carried to the key holders, as in a ceremony; None when the keys are here.
    """

    new: NewKeys
    coming: Mapping[str, Sequence[Key]] = field(default_factory=dict)
    bundle: Path | None = None


@dataclass(frozen=True)
class Waiting:
    """The key holders have to sign ``bundle``; then the same is to be run again."""

    bundle: Path


def recover(
    repository: Repository,
    good: Path,
    *,
    online: NewKeys,
    offline: OfflineKeys,
    stolen: Collection[str] = (),
    confirm: Callable[[Findings], bool],
) -> Recovered | Waiting | None:
    """Bring the repository back to the state in ``good``, under new keys.

    Args:
        repository: Opened with the offline keys, unless they sign elsewhere.
        good: A copy of the repository from before the keys were stolen.
        online: Where the new online key comes from.
        offline: How the offline keys take part.
        stolen: Offline roles whose keys were stolen too, of ``STEALABLE``.
        confirm: Shows the findings, and says whether to go on.

    Returns:
        The report, which is also kept in the state folder; None when it was not confirmed.

    Raises:
        UsageError: ``stolen`` names another role.
        VerificationError: The copy is not signed as it has to be.
        RepositoryStateError: Keys are missing. Nothing was changed.
    """
    for role in stolen:
        if role not in STEALABLE:
            raise UsageError(
                f"not one of {', '.join(STEALABLE)}: {role!r:.80}",
                remedy="All online keys are replaced in any case.",
            )
    with repository.lock(finish=False):
        work = repository.folder / STATE_DIR / RECOVERY_DIR
        copy = read_state(good / METADATA_DIR, repository.config.root_sha256)
        findings = _load_findings(work) or _look(repository, copy)
        if not confirm(findings):
            return None
        _restore_roots(repository, good)
        before = _newest_root(repository)
        restored = restore(repository, good, before, stolen)
        _leave_damaged_log(repository, restored.base)
        proposal = _proposal(repository, restored, good, work, online, offline, stolen)
        if proposal is None:
            return Waiting(offline.bundle or work)
        (work / _FINDINGS_NAME).write_text(json.dumps(asdict(findings)))
        _make_current(repository, restored, proposal)
        report = _report(repository, restored, findings, copy)
        _set_aside(repository, restored, good, Path(report.set_aside))
        _finish(repository, restored)
        _keep(repository, report)
        shutil.rmtree(work)
        return report


def _look(repository: Repository, copy: Roles) -> Findings:
    version = copy.snapshot.signed.version
    try:
        current = read_state(repository.folder / METADATA_DIR, repository.config.root_sha256)
        return Findings(True, "", compare(copy, current).targets, version)
    except VerificationError as error:
        return Findings(False, error.what, (), version)


def _load_findings(work: Path) -> Findings | None:
    """What was found when this was begun: by now the state may be another one."""
    try:
        document = json.loads((work / _FINDINGS_NAME).read_bytes())
        changes = tuple(TargetChange(**change) for change in document.pop("changes"))
        return replace(Findings(**document, changes=changes), resumed=True)
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _restore_roots(repository: Repository, good: Path) -> None:
    """Put back roots that are gone or changed: the copy's are verified, and nobody forges one."""
    for path in (good / METADATA_DIR).glob("*.root.json"):
        here = repository.folder / METADATA_DIR / path.name
        data = path.read_bytes()
        if not here.exists() or here.read_bytes() != data:
            repository.keep(here, path)


def _newest_root(repository: Repository) -> Metadata[Root]:
    """The end of the chain of roots that are here."""
    folder = repository.folder / METADATA_DIR
    root = Metadata[Root].from_file(str(folder / "1.root.json"))
    while (path := folder / f"{root.signed.version + 1}.root.json").exists():
        try:
            newer = Metadata[Root].from_file(str(path))
            root.signed.verify_delegate("root", newer.signed_bytes, newer.signatures)
            newer.signed.verify_delegate("root", newer.signed_bytes, newer.signatures)
        except (RepositoryError, ValueError) as error:
            raise RepositoryStateError(
                f"{path} does not follow the root before it: {error}",
                remedy=f"No client follows it either. Move {path.name} away.",
            ) from None
        root = newer
    return root


def _leave_damaged_log(repository: Repository, base: Roles) -> None:
    """Begin a new log where the old one is not what the copy's timestamp vouches for."""
    timestamp = base.timestamp.signed
    try:
        repository.log.check(timestamp)
    except RepositoryStateError:
        repository.log.set_aside()
        timestamp.unrecognized_fields.pop(ANCHOR_FIELD, None)
        metadata = repository.folder / METADATA_DIR
        roots = (
            SignedRole("root", version, sha256_of((metadata / name).read_bytes()), ())
            for version in range(1, base.root.signed.version + 1)
            if (name := f"{version}.root.json")
        )
        repository.log.append("a new log: the one before was damaged", roots, None)


def _proposal(
    repository: Repository,
    restored: Restored,
    good: Path,
    work: Path,
    online: NewKeys,
    offline: OfflineKeys,
    stolen: Collection[str],
) -> Proposal | None:
    """What the offline keys have signed, now or when this was begun; None when they have yet to."""
    try:
        return read_bundle(work)
    except RepositoryStateError:
        shutil.rmtree(work, ignore_errors=True)
    base = restored.base
    if offline.bundle is not None and offline.bundle.exists():
        proposal = read_bundle(offline.bundle)
        follows = base.root.signed.version + 1
        if [root.signed.version for root in proposal.roots] != [follows, follows + 1]:
            raise RepositoryStateError(
                f"{offline.bundle} was not prepared for this recovery",
                remedy="Name a folder that does not exist: it is prepared again.",
            )
    else:
        proposal = _propose(repository, base, online, offline, stolen)
        if offline.bundle is not None:
            _prepare(repository, base, good, offline.bundle, proposal)
            return None
    check_signed(proposal, base)
    write_bundle(work, proposal)
    flush()
    return proposal


def _propose(
    repository: Repository,
    base: Roles,
    online: NewKeys,
    offline: OfflineKeys,
    stolen: Collection[str],
) -> Proposal:
    """New keys, and the offline metadata that names them. Nothing is written but key files."""
    made = prepare_keys(repository, keys.ONLINE, 1, online)
    prepared = [(keys.ONLINE, made, online)]
    replacements = [
        Replacement(role, out, made.keys) for role, out in keys_of(base, keys.ONLINE).items()
    ]
    for role in dict.fromkeys((*ALWAYS, *stolen)):
        (out,) = keys_of(base, role).values()
        coming = tuple(offline.coming.get(role, ()))
        if not coming and offline.bundle is not None:
            raise UsageError(
                f"{role} gets a new key, and its holder has to make it",
                remedy=f"--new-key {role}=FILE names its public half, made with `sign keygen`.",
            )
        if not coming:
            made = prepare_keys(repository, role, len(out), offline.new)
            prepared.append((role, made, offline.new))
            coming = made.keys
        replacements.append(Replacement(role, out, coming))
    _skip_versions(repository, base)
    expiry = repository.config.expiry
    # Clients that were once promised names of roles insist on them.
    unnamed = any(name.partition(".")[0] == CLAIMED_ROLE for name in base.unnamed())
    renew = [CLAIMED_ROLE] if unnamed else []
    proposal = propose(base, expiry, why="recover", replacements=replacements, renew=renew)
    if offline.bundle is None:
        for duty in proposal.duties(base):
            duty.sign(repository.keys)
        check_signed(proposal, base)
    for role, made, new in prepared:
        made.store(repository, role, new)
    return proposal


def _prepare(
    repository: Repository, base: Roles, good: Path, bundle: Path, proposal: Proposal
) -> None:
    """Write down what the key holders are to sign, beside the copy that it is compared with."""
    copy = Roles(good / METADATA_DIR, repository.config.root_sha256)
    temporary = bundle.with_name(f"{bundle.name}.unfinished")
    shutil.rmtree(temporary, ignore_errors=True)
    add_current(temporary, good / METADATA_DIR, copy, proposal)
    since = range(copy.root.signed.version + 1, base.root.signed.version + 1)
    add_roots(temporary, repository.folder / METADATA_DIR, since)
    write_bundle(temporary, proposal)
    temporary.rename(bundle)


def _skip_versions(repository: Repository, base: Roles) -> None:
    """Let no file of the new state have the name of one that is here already."""
    for name in ("targets", BINS_ROLE, *base.claims_below(CLAIMED_ROLE).roles()):
        metadata = base.role(name)
        version = next_version(repository, name, metadata.signed.version) - 1
        base.adopt(name, metadata, version)


def _make_current(repository: Repository, restored: Restored, proposal: Proposal) -> None:
    base, final = restored.base, proposal.roots[-1]
    if _newest_root(repository).signed.version >= final.signed.version:
        return
    if not _is_current(repository, proposal):
        both = proposal.roots[0]
        if _newest_root(repository).signed.version < both.signed.version:
            repository.write_root(both, base)
        base.root = both
        finished = {**_unchanged_claims(base), **restored.roles, **proposal.roles}
        for name, metadata in finished.items():
            base.adopt(name, metadata)
        changed = _online_roles(repository, restored)
        _remember(repository, restored)
        snapshot = base.snapshot.signed
        snapshot.version = next_version(repository, "snapshot", snapshot.version) - 1
        timestamp = base.timestamp.signed
        timestamp.version = max(timestamp.version, repository.ledger.current()[1])
        repository.sign(changed, finished, base)
    repository.write_root(final)


def _is_current(repository: Repository, proposal: Proposal) -> bool:
    """Whether a run that was killed had come so far already."""
    try:
        roles = Roles(repository.folder / METADATA_DIR, repository.config.root_sha256)
        return all(
            roles.role(name).signed_bytes == metadata.signed_bytes
            for name, metadata in proposal.roles.items()
        )
    except RepositoryStateError:
        return False


def _unchanged_claims(base: Roles) -> dict[str, Metadata[Targets]]:
    """``claimed`` and its shards: written again, should the thief have removed them."""
    return {name: base.role(name) for name in base.claims_below(CLAIMED_ROLE).roles()}


def _online_roles(repository: Repository, restored: Restored) -> dict[str, Metadata[Targets]]:
    """The bins with what was restored, and ``recently-claimed`` with nothing."""
    base = restored.base
    changed = {name: Metadata(Targets()) for name in base.bin_names()}
    for path, target in restored.targets.items():
        changed[base.bin_of(path)].signed.targets[path] = target
    changed[RECENTLY_CLAIMED_ROLE] = Metadata(Targets())
    listed = base.snapshot.signed.meta
    for name, metadata in changed.items():
        before = listed[f"{name}.json"].version if f"{name}.json" in listed else 0
        base.adopt(name, metadata, next_version(repository, name, before) - 1)
    return changed


def _remember(repository: Repository, restored: Restored) -> None:
    repository.ledger.record(
        (project, file.filename, file.sha256)
        for project, page in restored.pages.items()
        for file in page.files
    )


def _report(
    repository: Repository, restored: Restored, findings: Findings, copy: Roles
) -> Recovered:
    now = datetime.now(timezone.utc).replace(microsecond=0)
    roles = repository.roles()
    before, after = all_keyids(copy), all_keyids(roles)
    claims = list(roles.claims_below(CLAIMED_ROLE).claims())
    claimed = {claim.project for claim in claims}
    versions = copy.snapshot.signed.meta
    kept = (
        claim.project
        for claim in claims
        if f"{claim.role}.json" not in versions
        or versions[f"{claim.role}.json"].version < roles.meta(claim.role).version
    )
    changes = [each for each in findings.changes if project_of_target(each.path) not in claimed]
    aside = repository.folder / STATE_DIR / _ASIDE_DIR / f"{now:%Y%m%dT%H%M%SZ}"
    return Recovered(
        time=now,
        keys_gone=tuple(sorted(before - after)),
        keys_came=tuple(sorted(after - before)),
        restored=tuple(
            each.path for each in changes if each.before and each.path not in restored.lost
        ),
        dropped=tuple(each.path for each in changes if each.before is None),
        kept=tuple(sorted(kept)),
        unclaimed=tuple(sorted(restored.unclaimed)),
        lost=restored.lost,
        set_aside=str(aside),
        root_version=roles.root.signed.version,
        snapshot_version=roles.snapshot.signed.version,
    )


def _set_aside(repository: Repository, restored: Restored, good: Path, aside: Path) -> None:
    """Move away what is neither of the new state nor of the copy: for those who look into it."""
    roles = repository.roles()
    listed = roles.snapshot.signed.meta
    current = {f"{meta.version}.{name}" for name, meta in listed.items()}
    current |= {"timestamp.json", f"{roles.snapshot.signed.version}.snapshot.json"}
    current |= {f"{version}.root.json" for version in range(1, roles.root.signed.version + 1)}
    allowed = {f"{METADATA_DIR}/{name}" for name in current}
    for page in restored.pages.values():
        target = roles.target(page_target(page.project))
        if target is not None:
            allowed |= set(_paths_of(page, parse_sha256(target.hashes["sha256"])))
    for path in _files(repository.folder):
        name = path.relative_to(repository.folder).as_posix()
        if name not in allowed and not _same(path, good / name):
            to = aside / name
            to.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            path.rename(to)


def _files(folder: Path) -> list[Path]:
    return [
        path
        for pattern in (f"{METADATA_DIR}/*", f"{SIMPLE_DIR}/*/*", f"{PACKAGES_DIR}/*/*")
        for path in sorted(folder.glob(pattern))
    ]


def _paths_of(page: ProjectPage, sha256: Sha256) -> Iterator[str]:
    """The names of all files of a project: with their digests, and plain."""
    target = page_target(page.project)
    yield from (target, target.removesuffix(PAGE_NAME) + HTML_NAME)
    yield consistent_path(target, sha256)
    for file in page.files:
        path = file_target(page.project, file.filename)
        yield from (path, consistent_path(path, file.sha256))
        if file.core_metadata is not None:
            path += METADATA_SUFFIX
            yield from (path, consistent_path(path, file.core_metadata))


def _same(path: Path, other: Path) -> bool:
    try:
        return path.stat().st_size == other.stat().st_size and (
            path.read_bytes() == other.read_bytes()
        )
    except OSError:
        return False


def _finish(repository: Repository, restored: Restored) -> None:
    """Let plain clients see what is signed, and nothing else."""
    folders = {path.name for path in (repository.folder / SIMPLE_DIR).iterdir() if path.is_dir()}
    folders |= {path.name for path in (repository.folder / PACKAGES_DIR).iterdir()}
    projects = {NormalizedName(name) for name in folders if is_normalized_name(name)}
    repository.finish(projects | restored.pages.keys())


def _keep(repository: Repository, report: Recovered) -> None:
    folder = repository.folder / STATE_DIR / _REPORTS_DIR
    folder.mkdir(mode=0o700, exist_ok=True)
    path = folder / f"recovery-{report.time:%Y%m%dT%H%M%SZ}.json"
    path.write_text(json.dumps(asdict(report), indent=1, default=str) + "\n")
