"""Describes in words what a proposal changes, for the people who are to sign it.

Rule: every difference between the current file and the new one is shown. A difference that this
module has no words for is shown as it stands in the file.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from tuf.api.metadata import Metadata, Role, Root, Targets

from securepip.formats.words import counted
from securepip.signing.offline.proposal import Proposal
from securepip.signing.repository.commit import Delegator
from securepip.signing.repository.roles import Roles

_MOST = 20
_SAID = {"version", "expires", "roles", "keys", "delegations", "targets"}


def describe(proposal: Proposal, roles: Roles, since: Metadata[Root] | None = None) -> list[str]:
    """Describe the changes of a proposal in lines.

    Args:
        proposal: The proposal to be signed.
        roles: The current roles, verified by the key holder's machine.
        since: The last root that the key holder knows. All changes of keys since then come first,
            those that other holders have signed in between included.
    """
    lines = [f"For: {proposal.why}"]
    if since is not None:
        lines += _keys_since(since, proposal.root(roles))
    before = roles.root
    for root in proposal.roots:
        lines += _head("root", before, root)
        if root is not proposal.roots[-1]:
            lines.append("  for the moment of the change: old and new keys side by side")
        lines += _differences(before, root)
        before = root
    listed = roles.snapshot.signed.meta
    for name, metadata in proposal.roles.items():
        current = roles.role(name) if f"{name}.json" in listed else None
        lines += _head(name, current, metadata)
        lines += _differences(current, metadata)
    # A name with a line break in it could forge the next line, so it is shown escaped.
    return [line if line.isprintable() else repr(line) for line in lines]


def _keys_since(since: Metadata[Root], after: Root) -> Iterator[str]:
    """The changes of keys from the root that the reader knows to the new one."""
    version = since.signed.version
    which = "with which the repository began" if version == 1 else "which was signed here last"
    changes = list(_delegated(since.signed, after))
    what = "these keys change" if changes else "no key changes"
    yield f"Since root version {version}, {which}, {what}."
    yield from (f"  {line}" for line in changes)


def _head(
    name: str,
    before: Metadata[Root] | Metadata[Targets] | None,
    after: Metadata[Root] | Metadata[Targets],
) -> Iterator[str]:
    old = "new" if before is None else f"version {before.signed.version}"
    yield (
        f"{name}: {old} -> version {after.signed.version}, valid until "
        f"{after.signed.expires:%Y-%m-%d}"
    )


def _differences(
    before: Metadata[Root] | Metadata[Targets] | None,
    after: Metadata[Root] | Metadata[Targets],
) -> list[str]:
    old = None if before is None else before.signed
    lines = [*_delegated(old, after.signed)]
    if isinstance(after.signed, Targets):
        lines += _targets(old.targets if isinstance(old, Targets) else {}, after.signed.targets)
    lines += _others({} if old is None else old.to_dict(), after.signed.to_dict())
    return [f"  {line}" for line in lines] or ["  nothing else changes"]


def _delegated(before: Delegator | None, after: Delegator) -> Iterator[str]:
    old, new = delegated_roles(before), delegated_roles(after)
    for name in sorted(old.keys() | new.keys()):
        if name not in new:
            yield f"{name} is delegated to no more"
            continue
        role, was = new[name], old.get(name)
        if was is None:
            yield f"{name} is delegated to, signed by {role.threshold} of:"
            yield from (f"  key {keyid}" for keyid in role.keyids)
            yield from _scope(role)
            continue
        yield from (f"{name}: the key {k} goes" for k in was.keyids if k not in role.keyids)
        yield from (f"{name}: the key {k} comes" for k in role.keyids if k not in was.keyids)
        if role.threshold != was.threshold:
            yield f"{name}: {counted(role.threshold, 'signature')} instead of {was.threshold}"
        if rest_of(role) != rest_of(was):
            yield f"{name}: {rest_of(was)} becomes {rest_of(role)}"
    if list(old) != list(new) and sorted(old) == sorted(new):
        yield f"the order of delegations becomes: {', '.join(new)}"
    keys = {} if before is None else _keys(before)
    for keyid, key in _keys(after).items():
        # Metadata could call another key by the same id: the id alone proves nothing.
        if keyid in keys and keys[keyid] != key:
            yield f"the key called {keyid} becomes another key"


def _scope(role: Role) -> Iterator[str]:
    rest = rest_of(role)
    if rest:
        yield f"  for: {rest}"


def rest_of(role: Role) -> dict[str, Any]:
    """The fields of a delegation other than its name, keys and threshold."""
    document = role.to_dict()
    return {key: document[key] for key in document if key not in ("keyids", "threshold", "name")}


def delegated_roles(delegator: Delegator | None) -> Mapping[str, Role]:
    """The roles that ``delegator`` names keys of, in its order; all bins together as ``bin-n``."""
    if isinstance(delegator, Root):
        return delegator.roles
    if delegator is None or delegator.delegations is None:
        return {}
    roles: dict[str, Role] = dict(delegator.delegations.roles or {})
    if delegator.delegations.succinct_roles is not None:
        roles["bin-n"] = delegator.delegations.succinct_roles
    return roles


def _keys(delegator: Delegator) -> dict[str, Any]:
    if isinstance(delegator, Root):
        return delegator.keys
    return {} if delegator.delegations is None else delegator.delegations.keys


def _targets(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[str]:
    changed = [path for path in after if after[path] != before.get(path)]
    gone = [path for path in before if path not in after]
    for verb, paths in (("signs", changed), ("signs no more", gone)):
        for path in sorted(paths)[:_MOST]:
            yield f"{verb}: {path}"
        if len(paths) > _MOST:
            yield f"{verb}: {len(paths) - _MOST} more targets"


def _others(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[str]:
    for field in sorted((before.keys() | after.keys()) - _SAID):
        if before and before.get(field) != after.get(field):
            yield f"{field}: {before.get(field)!r} becomes {after.get(field)!r}"
