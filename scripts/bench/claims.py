"""Measures what ten thousand claims cost a client: bytes for each look-up, and time.

    python scripts/bench/claims.py [NAMES] [--projects 10000] [--keys 1]

NAMES is a file with a real project name on each line; without it, names are generated that share
beginnings as real ones do. The claims are laid out in memory, signed with one key, and looked up as
python-tuf does it: role after role, each parsed once. For comparison, the same is done with a flat
list of the same claims. Times are processor times. The budget is 100 kB and 5 ms for each look-up,
without the project's own role.
"""

from __future__ import annotations

import argparse
import gc
import gzip
import random
import statistics
import time
from collections.abc import Mapping
from pathlib import Path

from packaging.utils import NormalizedName, canonicalize_name
from securesystemslib.signer import CryptoSigner
from tuf.api.metadata import DelegatedRole, Delegations, Metadata, MetaFile, Snapshot, Targets

from securepip.formats.layout import CLAIMED_ROLE, page_target, project_paths, project_role
from securepip.signing.keys.canonical import COMPACT
from securepip.signing.repository.claim_tree import ClaimTree, Keyholders

_SAMPLES = 300
_STARTS = (
    *("py", "my", "django-", "open", "aws", "azure-", "flask-", "pytest-", "types-", "odoo-"),
    *("mypy-boto3-", "tf", "data", "ml-", "x"),
)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="?", type=Path)
    parser.add_argument("--projects", type=int, default=10_000)
    parser.add_argument("--keys", type=int, default=1)
    arguments = parser.parse_args()
    projects = choose(arguments.names, arguments.projects)
    holders = {project: new_holders(arguments.keys) for project in projects}
    signer = CryptoSigner.generate_ed25519()
    tree = ClaimTree(CLAIMED_ROLE, no_role, Keyholders((signer.public_key,), 1))
    tree.changed[CLAIMED_ROLE] = Metadata(Targets())
    begun = time.process_time()
    for project in projects:
        tree.put(project, holders[project], 1)
    files = {name: signed(metadata, signer) for name, metadata in tree.changed.items()}
    took = time.process_time() - begun
    print(f"{len(projects)} claims in {len(files)} roles, laid out and signed in {took:.1f} s")
    listed = {f"{name}.json": MetaFile(1) for name in [*files, *map(project_role, projects)]}
    data = Metadata(Snapshot(meta=listed)).to_bytes(COMPACT)
    packed = len(gzip.compress(data)) / 1e3
    print(f"all these roles in the snapshot: {len(data) / 1e3:.0f} kB, {packed:.0f} compressed")
    gc.collect()
    gc.freeze()  # a client does not have these objects, so the collector must not visit them
    report("shards", files, projects)
    flat = {CLAIMED_ROLE: signed(flat_list(holders), signer)}
    report("one flat list", flat, projects[: _SAMPLES // 50])


def choose(names: Path | None, count: int) -> list[NormalizedName]:
    """The names of projects, the same at each run."""
    chance = random.Random(480)  # noqa: S311 # the same names each time; nothing secret
    if names is not None:
        known = sorted({canonicalize_name(line.strip()) for line in names.open()} - {""})
        return chance.sample(known, min(count, len(known)))
    letters = "aaabccdeeefghiiijklmmnnooopppqrrsssttttuvwxyz0-"
    made: set[NormalizedName] = set()
    while len(made) < count:
        start = chance.choice(_STARTS) if chance.random() < 1 / 3 else ""
        rest = "".join(chance.choices(letters, k=chance.randint(3, 14)))
        made.add(canonicalize_name(start + rest.strip("-")))
    return sorted(made)


def no_role(name: str) -> Metadata[Targets]:
    """Nothing is signed yet."""
    raise KeyError(name)


def signed(metadata: Metadata[Targets], signer: CryptoSigner) -> bytes:
    """Sign a role, and return the bytes that are served."""
    metadata.sign(signer)
    return metadata.to_bytes(COMPACT)


def new_holders(count: int) -> Keyholders:
    """The keys of one project."""
    keys = (CryptoSigner.generate_ed25519().public_key for _ in range(count))
    return Keyholders(tuple(keys), 1)


def flat_list(claims: Mapping[NormalizedName, Keyholders]) -> Metadata[Targets]:
    """All claims in one role."""
    keys = {key.keyid: key for holders in claims.values() for key in holders.keys}
    roles = {
        project_role(each): DelegatedRole(
            project_role(each), holders.keyids, 1, True, project_paths(each)
        )
        for each, holders in claims.items()
    }
    return Metadata(Targets(delegations=Delegations(keys, roles)))


def report(what: str, files: Mapping[str, bytes], projects: list[NormalizedName]) -> None:
    """Look projects up, and others that are not claimed; print bytes and milliseconds."""
    chance = random.Random(1)  # noqa: S311 # the same sample each time
    sample = chance.sample(projects, min(_SAMPLES, len(projects)))
    walk(files, {}, sample[0])  # what python-tuf does once
    others = [NormalizedName(f"{each[:5]}-not-claimed") for each in sample]
    for kind, chosen in (("claimed", sample), ("not claimed", others)):
        sizes, packed, cold, warm, depth = [], [], [], [], []
        for project in chosen:
            parsed: dict[str, Metadata[Targets]] = {}
            begun = time.process_time()
            met = walk(files, parsed, project)
            cold.append(time.process_time() - begun)
            begun = time.process_time()
            walk(files, parsed, project)
            warm.append(time.process_time() - begun)
            sizes.append(sum(len(files[name]) for name in met))
            packed.append(sum(len(gzip.compress(files[name])) for name in met))
            depth.append(len(met))
        print(
            f"{what}, {kind}: {statistics.median(sizes) / 1e3:.0f} kB, at most "
            f"{max(sizes) / 1e3:.0f} ({max(packed) / 1e3:.0f} compressed), in at most {max(depth)} "
            f"roles; {statistics.median(warm) * 1e3:.2f} ms, at most {max(warm) * 1e3:.2f}; "
            f"{statistics.median(cold) * 1e3:.1f} ms with parsing, at most {max(cold) * 1e3:.1f}"
        )


def walk(
    files: Mapping[str, bytes], parsed: dict[str, Metadata[Targets]], project: NormalizedName
) -> list[str]:
    """The roles that python-tuf visits in a search for the project's page."""
    met, waiting = [], [CLAIMED_ROLE]
    while waiting:
        name = waiting.pop()
        if name not in files:
            continue
        met.append(name)
        if name not in parsed:
            parsed[name] = Metadata[Targets].from_bytes(files[name])
        delegations = parsed[name].signed.delegations
        if delegations is not None:
            waiting += [role for role, _ in delegations.get_roles_for_target(page_target(project))]
    return met


if __name__ == "__main__":
    main()
