"""Recovers a repository after keys were stolen, by the steps of both PEPs. A run can be repeated.

1. Find the state to restore (``restore``), and copy its files here.
2. Make new keys for all roles but claimed and root; for these two only if they were stolen.
3. Have the offline keys sign the roots and the frame that name the new keys.
4. Make that current: a root with old and new keys, one snapshot with everything, the final root.
5. Set aside the files that belong to no trusted state, and write a report.

Rule: timestamp and snapshot always get new keys. No client then accepts what the thief signed,
however high its version: a client deletes metadata when root replaces its keys (TUF specification
5.3.11), and so recovers by itself. Roles that are no longer used stay in the snapshot, empty.

Source: PEP 458 and PEP 480, "In the event of a key compromise".
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from packaging.utils import NormalizedName, is_normalized_name
from securesystemslib.signer import Key
from tuf.api.exceptions import RepositoryError
from tuf.api.metadata import Metadata, Root, Targets

from securepip.errors import RepositoryStateError, UsageError, VerificationError
from securepip.formats.digests import sha256_of
from securepip.formats.layout import (
    BINS_ROLE,
    CLAIMED_ROLE,
    METADATA_DIR,
    PACKAGES_DIR,
    RECENTLY_CLAIMED_ROLE,
    SIMPLE_DIR,
)
from securepip.signing.keys import ring as keys
from securepip.signing.keys.memory import Remembered, check_owner, recall
from securepip.signing.offline.aftermath import Recovered, keep, report_of, set_aside
from securepip.signing.offline.audit import TargetChange, compare, read_state
from securepip.signing.offline.bundle import (
    add_current,
    add_roots,
    add_versions,
    read_bundle,
    write_bundle,
)
from securepip.signing.offline.proposal import Proposal, Replacement, check_signed, propose
from securepip.signing.offline.restore import Restored, restore
from securepip.signing.offline.rotate import NewKeys, all_keyids, keys_of, prepare_keys
from securepip.signing.publish.accounted import check_signed_here, remember_seen
from securepip.signing.repository.config import RECOVERY_DIR
from securepip.signing.repository.repository import Repository
from securepip.signing.repository.roles import Roles, next_version
from securepip.signing.repository.state.log import ANCHOR_FIELD, SignedRole, anchor_of
from securepip.signing.repository.storage.files import flush
from securepip.signing.repository.storage.interface import Reader, StorageError
from securepip.signing.repository.storage.local import Folder

ALWAYS = ("targets", BINS_ROLE)
"""Offline roles that get new keys in any case, as both PEPs ask."""

STEALABLE = (*ALWAYS, CLAIMED_ROLE, "root")
"""Offline roles whose keys may have been stolen too. What stolen keys signed is not believed."""

_FINDINGS_NAME = "findings.json"


@dataclass(frozen=True)
class Findings:
    """The findings of a recovery, before anything is changed.

    Attributes:
        valid: Whether the current state is validly signed, by whomever.
        problem: What is wrong with its signatures; "" if it is valid.
        changes: How the targets of the current state differ from those of the copy; empty if the
            current state is not valid.
        copy_snapshot: The version of the copy's snapshot.
        lost: Role and version of each offline role that this machine has seen as current, and that
            is neither here nor in the copy.
        unlogged: Why the log does not vouch for the copy, so that the thief may have signed it; ""
            if the log does.
        resumed: Whether this run goes on with one that was interrupted.
    """

    valid: bool
    problem: str
    changes: tuple[TargetChange, ...]
    copy_snapshot: int
    lost: tuple[tuple[str, int], ...] = ()
    unlogged: str = ""
    resumed: bool = False


@dataclass(frozen=True)
class OfflineKeys:
    """How the offline keys take part.

    Attributes:
        new: Where new keys are stored that are generated here.
        coming: By role, the public keys that key holders have made themselves.
        bundle: The folder that key holders are sent, as in a ceremony; None if the keys are here.
    """

    new: NewKeys
    coming: Mapping[str, Sequence[Key]] = field(default_factory=dict)
    bundle: Path | None = None


@dataclass(frozen=True)
class Waiting:
    """The key holders have to sign ``bundle``. Then the operator runs the same command again."""

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
        The report, which is also kept in the state folder; ``Waiting`` if key holders have to sign
        first; None if ``confirm`` says no.

    Raises:
        UsageError: ``stolen`` names another role, or a public key is missing.
        VerificationError: The copy is not signed as it has to be.
        RepositoryStateError: Keys or signatures are missing, or a root is. Nothing became current.
    """
    for role in stolen:
        if role not in STEALABLE:
            raise UsageError(
                f"not one of {', '.join(STEALABLE)}: {role!r:.80}",
                remedy="All online keys are replaced in any case.",
            )
    with repository.lock(finish=False):
        work = repository.home / RECOVERY_DIR
        copy = read_state(good / METADATA_DIR, repository.config.root_sha256)
        here = [keyid for keyid in all_keyids(copy) if repository.keys.has(keyid)]
        check_owner(here, repository.config.root_sha256)
        findings = _load_findings(work) or _look(repository, copy, good)
        if not confirm(findings):
            return None
        _restore_roots(repository, good)
        before = _newest_root(repository)
        _check_root_is_here(repository, before)
        restored = restore(repository, good, before, stolen)
        _leave_damaged_log(repository, restored.base)
        proposal = _proposal(repository, restored, good, work, online, offline, stolen)
        if proposal is None:
            return Waiting(offline.bundle or work)
        (work / _FINDINGS_NAME).write_text(json.dumps(asdict(findings)))
        _make_current(repository, restored, proposal, good)
        report = report_of(repository, restored, findings.changes, copy)
        set_aside(repository, restored, good, Path(report.set_aside))
        _finish(repository, restored)
        keep(repository, report)
        remember_seen(repository)
        shutil.rmtree(work)
        return report


def _look(repository: Repository, copy: Roles, good: Path) -> Findings:
    findings = Findings(
        True,
        "",
        (),
        copy.snapshot.signed.version,
        tuple(_lost(repository, good)),
        _unlogged(repository, copy, good),
    )
    try:
        current = read_state(_metadata(repository), repository.config.root_sha256)
        return replace(findings, changes=compare(copy, current).targets)
    except VerificationError as error:
        return replace(findings, valid=False, problem=error.what)


def _unlogged(repository: Repository, copy: Roles, good: Path) -> str:
    """Why the log does not vouch for the copy; "" if it does.

    A copy that was made after the key was stolen is as validly signed as any other.
    """
    try:
        check_signed_here(repository, copy, Folder(good / METADATA_DIR))
    except StorageError:
        raise  # a failing storage says nothing about the copy
    except RepositoryStateError as error:
        return error.what
    return ""


def _lost(repository: Repository, good: Path) -> Iterator[tuple[str, int]]:
    """The offline roles that this machine has seen, and that are neither here nor in the copy."""
    known = recall(repository.config.root_sha256) or Remembered()
    for role, (version, _) in known.seen.items():
        name = f"{version}.{role}.json"
        copies = (_metadata(repository), Folder(good / METADATA_DIR))
        if not any(copy.exists(name) for copy in copies):
            yield role, version


def _load_findings(work: Path) -> Findings | None:
    """The findings of an interrupted run, which may have changed the state; None for no such."""
    try:
        document = json.loads((work / _FINDINGS_NAME).read_bytes())
        changes = tuple(TargetChange(**change) for change in document.pop("changes"))
        lost = tuple((str(role), int(version)) for role, version in document.pop("lost"))
        return replace(Findings(**document, changes=changes, lost=lost), resumed=True)
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None


def _restore_roots(repository: Repository, good: Path) -> None:
    """Copy the roots of the copy here, where they are missing or damaged. They are verified."""
    for path in (good / METADATA_DIR).glob("*.root.json"):
        _put_back(repository, path)


def _put_back(repository: Repository, path: Path) -> bytes:
    """Copy a metadata file of the copy here, unless it is here already; its bytes."""
    data = path.read_bytes()
    name = f"{METADATA_DIR}/{path.name}"
    if not repository.storage.holds(name, sha256_of(data)):
        repository.storage.delete(name)
        repository.storage.write(name, data, durable=True)
    return data


def _metadata(repository: Repository) -> Reader:
    return repository.storage.below(METADATA_DIR)


def _newest_root(repository: Repository) -> Metadata[Root]:
    """The newest root that is here. Raises RepositoryStateError where a root does not follow."""
    metadata = _metadata(repository)
    root = Metadata[Root].from_bytes(metadata.read("1.root.json"))
    while metadata.exists(name := f"{root.signed.version + 1}.root.json"):
        try:
            newer = Metadata[Root].from_bytes(metadata.read(name))
            root.signed.verify_delegate("root", newer.signed_bytes, newer.signatures)
            newer.signed.verify_delegate("root", newer.signed_bytes, newer.signatures)
        except (RepositoryError, ValueError) as error:
            raise RepositoryStateError(
                f"{metadata.address}/{name} does not follow the root before it: {error}",
                remedy=f"No client follows it either. Move {name} away.",
            ) from None
        root = newer
    return root


def _check_root_is_here(repository: Repository, newest: Metadata[Root]) -> None:
    """Check that every root that this machine has seen is here: no other may take its number.

    Raises:
        RepositoryStateError: One is missing.
    """
    known = recall(repository.config.root_sha256) or Remembered()
    version, _ = known.seen.get("root", (0, None))
    if newest.signed.version < version:
        raise RepositoryStateError(
            f"{version}.root.json is missing: it was current on this machine before",
            meaning="Clients that have seen it would accept no other root with that number.",
            remedy=f"Put it into {_metadata(repository).address}, from a mirror, a backup, or "
            "the state of any client.",
        )


def _leave_damaged_log(repository: Repository, base: Roles) -> None:
    """Begin a new log if the copy's timestamp does not vouch for the present one."""
    timestamp = base.timestamp.signed
    try:
        repository.log.check(timestamp)
    except RepositoryStateError:
        repository.log.set_aside()
        timestamp.unrecognized_fields.pop(ANCHOR_FIELD, None)
        metadata = _metadata(repository)
        roots = (
            SignedRole("root", version, sha256_of(metadata.read(name)), ())
            for version in range(1, base.root.signed.version + 1)
            if (name := f"{version}.root.json")
        )
        repository.log.append(roots, None, "a new log: the one before was damaged")


def _proposal(
    repository: Repository,
    restored: Restored,
    good: Path,
    work: Path,
    online: NewKeys,
    offline: OfflineKeys,
    stolen: Collection[str],
) -> Proposal | None:
    """The signed proposal, perhaps of an interrupted run; None if key holders have yet to sign."""
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
    """Make new keys, and the offline metadata that names them. Only key files are written."""
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
    # If targets metadata has promised that all roles carry their names, clients insist on it.
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
    """Write the bundle for the key holders, with the metadata of the copy to compare with."""
    copy = Roles(good / METADATA_DIR, repository.config.root_sha256)
    temporary = bundle.with_name(f"{bundle.name}.unfinished")
    shutil.rmtree(temporary, ignore_errors=True)
    add_current(temporary, Folder(good / METADATA_DIR), copy, proposal)
    since = range(copy.root.signed.version + 1, base.root.signed.version + 1)
    add_roots(temporary, _metadata(repository), since)
    # Key holders' machines compare the proposal with what they have signed since the copy was made.
    add_versions(temporary, _metadata(repository), proposal.roles)
    write_bundle(temporary, proposal)
    temporary.rename(bundle)


def _skip_versions(repository: Repository, base: Roles) -> None:
    """Raise the versions of offline roles above all that are here or were seen here before."""
    known = recall(repository.config.root_sha256) or Remembered()
    for name in ("targets", BINS_ROLE, *base.claims_below(CLAIMED_ROLE).roles()):
        metadata = base.role(name)
        after = max(metadata.signed.version, known.newest(name))
        base.adopt(name, metadata, next_version(repository.storage, name, after) - 1)


def _make_current(
    repository: Repository, restored: Restored, proposal: Proposal, good: Path
) -> None:
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
        snapshot.version = next_version(repository.storage, "snapshot", snapshot.version) - 1
        timestamp = base.timestamp.signed
        timestamp.version = max(timestamp.version, repository.ledger.current()[1])
        _keep_as_in_copy(repository, base, good, {*changed, *finished})
        repository.sign(changed, finished, base)
    repository.write_root(final)


def _keep_as_in_copy(
    repository: Repository, base: Roles, good: Path, others: Collection[str]
) -> None:
    """Copy the roles here that the new snapshot lists as the copy does, and write them to the log.

    The log may know newer versions of them. Its last entry for a role counts.
    """
    kept: list[SignedRole] = []
    for name, meta in base.snapshot.signed.meta.items():
        role = name.removesuffix(".json")
        source = good / METADATA_DIR / f"{meta.version}.{name}"
        if role in others or not source.exists():
            continue
        data = _put_back(repository, source)
        kept.append(SignedRole(role, meta.version, sha256_of(data), ()))
    if kept:
        repository.log.append(kept, anchor_of(base.timestamp.signed), "recover: as in the copy")


def _is_current(repository: Repository, proposal: Proposal) -> bool:
    """Whether an interrupted run has made the proposal's roles current already."""
    try:
        roles = Roles(_metadata(repository), repository.config.root_sha256)
        return all(
            roles.role(name).signed_bytes == metadata.signed_bytes
            for name, metadata in proposal.roles.items()
        )
    except StorageError:
        raise  # a failing storage does not say whether they are current
    except RepositoryStateError:
        return False


def _unchanged_claims(base: Roles) -> dict[str, Metadata[Targets]]:
    """``claimed`` and its shards. They are written again: the thief may have removed them."""
    return {name: base.role(name) for name in base.claims_below(CLAIMED_ROLE).roles()}


def _online_roles(repository: Repository, restored: Restored) -> dict[str, Metadata[Targets]]:
    """The bins with the restored targets, and ``recently-claimed`` without claims."""
    base = restored.base
    changed = {name: Metadata(Targets()) for name in base.bin_names()}
    for path, target in restored.targets.items():
        changed[base.bin_of(path)].signed.targets[path] = target
    changed[RECENTLY_CLAIMED_ROLE] = Metadata(Targets())
    listed = base.snapshot.signed.meta
    for name, metadata in changed.items():
        before = listed[f"{name}.json"].version if f"{name}.json" in listed else 0
        base.adopt(name, metadata, next_version(repository.storage, name, before) - 1)
    return changed


def _remember(repository: Repository, restored: Restored) -> None:
    repository.ledger.record(
        (project, file.filename, file.sha256)
        for project, page in restored.pages.items()
        for file in page.files
    )


def _finish(repository: Repository, restored: Restored) -> None:
    """Make the plain view show what is signed, and nothing else."""
    folders = {
        stored.name.partition("/")[0]
        for kind in (SIMPLE_DIR, PACKAGES_DIR)
        for stored in repository.storage.below(kind).list()
        if "/" in stored.name
    }
    projects = {NormalizedName(name) for name in folders if is_normalized_name(name)}
    repository.finish(projects | restored.pages.keys())
