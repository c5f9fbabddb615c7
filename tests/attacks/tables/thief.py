"""A thief who has some of the keys, and is between the repository and its clients.

He serves a changed copy of the repository. If he does not have the key of a role that he must sign,
he signs it with one of his own, under the versions that are most likely to be accepted.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Collection
from datetime import datetime, timedelta, timezone
from pathlib import Path

from securesystemslib.signer import CryptoSigner, Signer
from tuf.api.metadata import (
    DelegatedRole,
    Delegations,
    Metadata,
    MetaFile,
    Root,
    Snapshot,
    SuccinctRoles,
    TargetFile,
    Targets,
    Timestamp,
)

from securepip.formats.digests import sha256_of
from securepip.formats.layout import consistent_path
from securepip.formats.roles import name_role
from tests.attacks.tables.world import SERVED, World
from tests.support.wheels import make_wheel

EVIL = "9.0"
_FOR_EVER = timedelta(days=3000)


class Thief:
    """A thief.

    Args:
        world: The world of the repository.
        folder: The folder that he serves.
        stolen: The roles whose keys he has; of ``root``, a threshold.
        state: The folder of the state that he begins with: the current one, or the earlier one.
    """

    def __init__(
        self, world: World, folder: Path, stolen: Collection[str], state: Path | None = None
    ) -> None:
        self.folder = folder
        self._world = world
        self._signers = {role: world.keys[role] for role in stolen}
        self._own = CryptoSigner.generate_ed25519()
        for name in SERVED:
            shutil.copytree((state or world.made.folder) / name, folder / name)
        self._timestamp: Metadata[Timestamp] = self._load("timestamp.json")
        version = self._timestamp.signed.snapshot_meta.version
        self._snapshot: Metadata[Snapshot] = self._load(f"{version}.snapshot.json")
        self._edits: dict[str, tuple[Metadata[Targets], tuple[Signer, ...]]] = {}

    def offer(self, project: str, version: str, via: str) -> None:
        """Let clients install ``version`` of a project: ``EVIL``, or an earlier genuine one.

        Args:
            project: The project.
            version: The only version on the page.
            via: The first role that he changes, whether he has its key or not.
        """
        contents = self._contents(project, version)
        targets = Targets(targets=contents, expires=_later())
        if via == "root":
            self._take_root()
            via = "targets"
        elif via in ("project", "bin-n"):
            self._edit_directly(targets, via)
            self._finish()
            return
        self._edit(via, self._role(via), self._signers.get(via, (self._own,)))
        if via == "targets":
            self._hand_to_own(via, "claimed")
            via = "claimed"
            self._edit(via, Targets(expires=_later()), (self._own,))
        if via == "bins":
            succinct = self._take_bins()
            for name, part in _by_bin(succinct, contents).items():
                self._edit(name, Targets(targets=part), (self._own,))
        else:
            # He needs another name than that of the project's role, which would come first.
            self._hand_to_own(via, f"project.thief-{project}", project)
            self._edit(f"project.thief-{project}", targets, (self._own,))
        self._finish()

    def renew(self) -> None:
        """Sign the roles of his keys again, so that they expire later, and change nothing else."""
        if "root" in self._signers:
            self._take_root()
        if "project" in self._signers:
            self._edit("project.app", self._role("project.app"), self._signers["project"])
        for role in ("targets", "bins", "claimed", "recently-claimed"):
            if role in self._signers:
                self._edit(role, self._role(role), self._signers[role])
        if "claimed" in self._signers:
            for name in self._listed("claimed."):
                self._edit(name, self._role(name), self._signers["claimed"])
        if "bin-n" in self._signers:
            for name in self._listed("bin-"):
                self._edit(name, self._role(name), self._signers["bin-n"])
        self._finish()

    def mix(self, project: str) -> None:
        """List the earlier file of a project's role, or its bins, beside the current ones."""
        if "root" in self._signers:
            self._take_root()
        earlier = self._world.earlier
        names = [f"project.{project}"]
        if f"project.{project}.json" not in self._snapshot.signed.meta:
            names = self._listed("bin-")
        before = self._earlier_snapshot()
        for name in names:
            meta = before.signed.meta[f"{name}.json"]
            file = f"{meta.version}.{name}.json"
            shutil.copyfile(earlier / "metadata" / file, self.folder / "metadata" / file)
            self._snapshot.signed.meta[f"{name}.json"] = meta
        self._finish()

    def forget_claims(self) -> None:
        """Lead clients to the earlier ``claimed``, from before any claim."""
        before = self._earlier_snapshot()
        meta = before.signed.meta["claimed.json"]
        file = f"{meta.version}.claimed.json"
        shutil.copyfile(self._world.earlier / "metadata" / file, self.folder / "metadata" / file)
        self._snapshot.signed.meta["claimed.json"] = meta

    def claim(self, project: str) -> None:
        """Claim a project for a key of his own, with only the online key."""
        self._edit("recently-claimed", self._role("recently-claimed"), self._signers["snapshot"])
        self._hand_to_own("recently-claimed", f"project.{project}", project)
        self._finish()

    def finish(self) -> None:
        """Sign the roles that he has changed."""
        self._finish()

    @property
    def keyid(self) -> str:
        """The id of his own key."""
        keyid: str = self._own.public_key.keyid
        return keyid

    def fast_forward(self, versions: int) -> None:
        """Sign timestamp and snapshot with versions that the repository will never reach."""
        self._timestamp.signed.version += versions
        self._snapshot.signed.version += versions

    def _earlier_snapshot(self) -> Metadata[Snapshot]:
        earlier = self._world.earlier
        timestamp: Metadata[Timestamp] = self._load("timestamp.json", earlier)
        version = timestamp.signed.snapshot_meta.version
        snapshot: Metadata[Snapshot] = self._load(f"{version}.snapshot.json", earlier)
        return snapshot

    def _contents(self, project: str, version: str) -> dict[str, TargetFile]:
        wheel = make_wheel(self.folder.with_name("wheels"), project, version)
        data = wheel.read_bytes()
        page = json.loads((self.folder / "simple" / project / "index.json").read_bytes())
        page["versions"] = [version]
        page["files"] = [
            {
                "filename": wheel.name,
                "url": f"../../packages/{project}/{wheel.name}",
                "hashes": {"sha256": sha256_of(data)},
                "size": len(data),
            }
        ]
        found = {}
        for path, contents in (
            (f"simple/{project}/index.json", json.dumps(page).encode()),
            (f"packages/{project}/{wheel.name}", data),
        ):
            sha256 = sha256_of(contents)
            found[path] = TargetFile(len(contents), {"sha256": sha256}, path)
            for place in (self.folder / path, self.folder / consistent_path(path, sha256)):
                place.unlink(missing_ok=True)  # it can be a hard link
                place.write_bytes(contents)
        return found

    def _take_root(self) -> None:
        """Make a new root, in which all roles have his key."""
        metadata = self.folder / "metadata"
        version = len(list(metadata.glob("*.root.json")))
        root: Metadata[Root] = self._load(f"{version}.root.json")
        root.signed.version += 1
        root.signed.expires = _later()
        for role in ("timestamp", "snapshot", "targets"):
            for keyid in list(root.signed.roles[role].keyids):
                root.signed.revoke_key(keyid, role)
            root.signed.add_key(self._own.public_key, role)
            self._signers[role] = (self._own,)
        root.signatures.clear()
        for signer in self._signers["root"]:
            root.sign(signer, append=True)
        root.to_file(str(metadata / f"{version + 1}.root.json"))
        self._edit("targets", self._role("targets"), (self._own,))

    def _edit_directly(self, targets: Targets, via: str) -> None:
        if via == "project":
            self._edit("project.app", targets, self._signers.get(via, (self._own,)))
            return
        bins = self._role("bins")
        assert bins.delegations is not None
        assert bins.delegations.succinct_roles is not None
        for name, part in _by_bin(bins.delegations.succinct_roles, targets.targets).items():
            changed = self._role(name)
            changed.targets |= part
            self._edit(name, changed, self._signers.get(via, (self._own,)))

    def _hand_to_own(self, delegator: str, role: str, project: str | None = None) -> None:
        """Let ``delegator`` delegate to a role with his own key, before all others."""
        signed = self._edits[delegator][0].signed
        paths = ["simple/*/*", "packages/*/*"]
        if project is not None:
            paths = [f"simple/{project}/*", f"packages/{project}/*"]
        first = DelegatedRole(role, [self._own.public_key.keyid], 1, project is not None, paths)
        delegations = signed.delegations or Delegations({}, {})
        delegations.keys[self._own.public_key.keyid] = self._own.public_key
        others = {name: each for name, each in (delegations.roles or {}).items() if name != role}
        delegations.roles = {role: first, **others}
        signed.delegations = delegations

    def _take_bins(self) -> SuccinctRoles:
        signed = self._edits["bins"][0].signed
        assert signed.delegations is not None
        assert signed.delegations.succinct_roles is not None
        for keyid in list(signed.delegations.succinct_roles.keyids):
            signed.revoke_key(keyid)
        signed.add_key(self._own.public_key)
        return signed.delegations.succinct_roles

    def _edit(self, name: str, signed: Targets, signers: tuple[Signer, ...]) -> None:
        signed.expires = _later()
        name_role(signed, name, self._world.made.root_sha256)
        self._edits[name] = Metadata(signed), signers

    def _role(self, name: str) -> Targets:
        if name in self._edits:
            return self._edits[name][0].signed
        meta = self._snapshot.signed.meta[f"{name}.json"]
        metadata: Metadata[Targets] = self._load(f"{meta.version}.{name}.json")
        return metadata.signed

    def _listed(self, prefix: str) -> list[str]:
        names = (name.removesuffix(".json") for name in self._snapshot.signed.meta)
        return [name for name in names if name.startswith(prefix)]

    def _finish(self) -> None:
        """Write the edited roles, and lead clients there as far as he can.

        With the timestamp's key he names a new snapshot, signed or forged. Without it he replaces
        the snapshot that the genuine timestamp names.
        """
        onward = 1 if "timestamp" in self._signers else 0
        listed = self._snapshot.signed.meta
        for name, (metadata, signers) in self._edits.items():
            before = listed.get(f"{name}.json")
            step = onward if onward or "snapshot" not in self._signers else 1
            metadata.signed.version = (before.version if before else 0) + step or 1
            data = _signed(metadata, signers)
            self._write(f"{metadata.signed.version}.{name}.json", data)
            if onward or "snapshot" in self._signers:
                listed[f"{name}.json"] = MetaFile(metadata.signed.version)
        if not onward and "snapshot" not in self._signers:
            return
        self._snapshot.signed.version += onward
        if "snapshot" in self._signers:
            self._snapshot.signed.expires = _later()
        if "snapshot" in self._signers or self._edits or self._is_mixed():
            signers = self._signers.get("snapshot", (self._own,))
            data = _signed(self._snapshot, signers)
            self._write(f"{self._snapshot.signed.version}.snapshot.json", data)
            meta = MetaFile.from_data(self._snapshot.signed.version, data, ["sha256"])
        else:
            # The genuine snapshot, for a freeze attack.
            self._snapshot.signed.version -= onward
            meta = self._timestamp.signed.snapshot_meta
        if onward:
            self._timestamp.signed.version += 1
            self._timestamp.signed.expires = _later()
            self._timestamp.signed.snapshot_meta = meta
            data = _signed(self._timestamp, self._signers["timestamp"])
            self._write("timestamp.json", data)

    def _is_mixed(self) -> bool:
        genuine: Metadata[Snapshot] = self._load(
            f"{self._timestamp.signed.snapshot_meta.version}.snapshot.json"
        )
        return genuine.signed.meta != self._snapshot.signed.meta

    def _load(self, name: str, folder: Path | None = None):  # type: ignore[no-untyped-def] # any role
        return Metadata.from_bytes(((folder or self.folder) / "metadata" / name).read_bytes())

    def _write(self, name: str, data: bytes) -> None:
        (self.folder / "metadata" / name).write_bytes(data)


def _signed(metadata: Metadata, signers: tuple[Signer, ...]) -> bytes:  # type: ignore[type-arg] # any
    metadata.signatures.clear()
    for signer in signers:
        metadata.sign(signer, append=True)
    return metadata.to_bytes()


def _later() -> datetime:
    return datetime.now(timezone.utc).replace(microsecond=0) + _FOR_EVER


def _by_bin(
    succinct: SuccinctRoles, contents: dict[str, TargetFile]
) -> dict[str, dict[str, TargetFile]]:
    """The targets by bin: clients refuse a bin with targets of another one."""
    parts: dict[str, dict[str, TargetFile]] = {}
    for path, target in contents.items():
        parts.setdefault(succinct.get_role_for_target(path), {})[path] = target
    return parts
