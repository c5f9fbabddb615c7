"""Checks that a validly signed role is the role that it is served as, for clients and signers.

Rule: a valid signature and version do not say which role a file is, because one key signs many
roles. So a role holds its own name (``layout.ROLE_FIELD``) and its repository
(``layout.REPOSITORY_FIELD``), and every target in a hash bin must hash to that bin.

Sources: TUF specification 5.6 and TAP 15, which leave this open.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from tuf.api.metadata import Root, Targets

from securepip.errors import FormatError
from securepip.formats.digests import Sha256, parse_sha256
from securepip.formats.layout import (
    ALL_ROLES,
    CLAIMED_ROLE,
    NAMED_FIELD,
    OWN_ROLES,
    REASON_FIELD,
    REPOSITORY_FIELD,
    ROLE_FIELD,
    bin_number,
    project_of_role,
)
from securepip.formats.words import parse_reason

_LEVELS = (None, OWN_ROLES, ALL_ROLES)


@dataclass(frozen=True)
class Naming:
    """What the roles of one repository must say about themselves.

    Attributes:
        repository: The sha256 of its first root; None if it is not known.
        named: Which roles must hold their name and repository: ``OWN_ROLES``, ``ALL_ROLES``, or
            None for no role. Repositories of other tools, and old ones of securepip, promise
            nothing.
    """

    repository: Sha256 | None = None
    named: str | None = None

    def includes(self, name: str) -> bool:
        """Whether the role of that name must hold its name and repository."""
        if project_of_role(name) is not None:
            return self.named == ALL_ROLES
        return self.named is not None

    def joined(self, other: Naming) -> Naming:
        """The stricter of the two.

        Raises:
            FormatError: They are about different repositories.
        """
        if self.repository and other.repository and self.repository != other.repository:
            raise FormatError(
                f"the role 'targets' is of the repository whose first root has the sha256 "
                f"{other.repository}, and not {self.repository}"
            )
        named = max(self.named, other.named, key=_LEVELS.index)
        return Naming(self.repository or other.repository, named)


def naming_of(targets: Targets) -> Naming:
    """What the top-level ``targets``, which offline keys sign, promises of all roles.

    Raises:
        FormatError: The promise is not valid.
    """
    named = targets.unrecognized_fields.get(NAMED_FIELD)
    repository = targets.unrecognized_fields.get(REPOSITORY_FIELD)
    if named not in _LEVELS or (named is not None and repository is None):
        raise FormatError(f"the role 'targets' says of the names of roles: {named!r:.80}")
    return Naming(None if repository is None else parse_sha256(repository), named)


def name_role(role: Targets, name: str, repository: Sha256 | None) -> None:
    """Put name and repository into a role that is about to be signed."""
    role.unrecognized_fields[ROLE_FIELD] = name
    if repository is not None:
        role.unrecognized_fields[REPOSITORY_FIELD] = repository


def give_reason(role: Targets, words: str) -> None:
    """Put the reason (``formats.words.parse_reason``) into a role that is about to be signed."""
    role.unrecognized_fields[REASON_FIELD] = words


def reason_of(role: Targets) -> str:
    """Why a project's role was signed, in its maintainers' words; "" if the role does not say.

    Raises:
        FormatError: The reason is not valid.
    """
    words = role.unrecognized_fields.get(REASON_FIELD)
    return "" if words is None else parse_reason(words)


def is_named(role: Targets) -> bool:
    """Whether a role holds both a name and a repository."""
    return {ROLE_FIELD, REPOSITORY_FIELD} <= role.unrecognized_fields.keys()


def check_role(name: str, role: Targets, delegator: Root | Targets, naming: Naming) -> None:
    """Check that a validly signed role is the role that it is served as.

    Args:
        name: The name that it is served under.
        role: Its contents.
        delegator: The role that delegates to it.
        naming: What the roles of this repository must say about themselves.

    Raises:
        FormatError: It is another role, is of another repository, or is another hash bin.
    """
    check_name(name, role, naming)
    _check_bin(name, role, delegator)


def check_name(name: str, role: Targets, naming: Naming) -> None:
    """Check the name and the repository that a role holds.

    A role that holds neither is accepted if the repository promised nothing. Shards of ``claimed``
    are an exception: all that were ever signed hold their names.

    Raises:
        FormatError: It is another role, or of another repository.
    """
    must = naming.includes(name)
    held = role.unrecognized_fields.get(ROLE_FIELD)
    if held != name and (must or held is not None or name.startswith(f"{CLAIMED_ROLE}.")):
        signed_as = "with no name of a role" if held is None else f"as {held!r:.100}"
        raise FormatError(f"what is served as the role {name!r:.100} was signed {signed_as}")
    held = role.unrecognized_fields.get(REPOSITORY_FIELD)
    if held != naming.repository and (must or (held is not None and naming.repository)):
        signed_for = "for no repository" if held is None else f"for the repository {held!r:.100}"
        raise FormatError(
            f"what is served as the role {name!r:.100} was signed {signed_for}; the sha256 of this "
            f"one's first root is {naming.repository}"
        )


def _check_bin(name: str, role: Targets, delegator: Root | Targets) -> None:
    """Check that all targets of a hash bin belong to it. If one does not, it is another bin.

    Raises:
        FormatError: A target belongs to another bin.
    """
    delegations = delegator.delegations if isinstance(delegator, Targets) else None
    if delegations is None:
        return
    belongs: Callable[[str], bool]
    if delegations.succinct_roles is not None:
        # `get_role_for_target` takes three times as long, and a large bin has hundreds of targets.
        bits, start = delegations.succinct_roles.bit_length, delegations.succinct_roles.name_prefix
        number = int(name.removeprefix(f"{start}-"), 16)

        def belongs(path: str) -> bool:
            return bin_number(path, bits) == number

    else:
        delegated = (delegations.roles or {}).get(name)
        if delegated is None or delegated.path_hash_prefixes is None:
            return
        belongs = delegated.is_delegated_path
    for path in role.targets:
        if not belongs(path):
            raise FormatError(
                f"what is served as the hash bin {name!r:.100} is another one: it holds "
                f"{path!r:.200}, which does not belong there"
            )
