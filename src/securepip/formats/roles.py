"""Whether a signed role is the one that it is taken for: the same checks for clients and signers.

Rule: a valid signature and version do not say which role a file is, because one key signs many.
What does say it is the role's own name in it (``layout.ROLE_FIELD``), the name of its repository
(``layout.REPOSITORY_FIELD``), and, in a hash bin, that every target in it hashes to that bin.

Sources: TUF specification 5.6 and TAP 15, for what they leave open.
"""

from __future__ import annotations

import hashlib
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
    project_of_role,
)
from securepip.formats.words import parse_reason

_LEVELS = (None, OWN_ROLES, ALL_ROLES)


@dataclass(frozen=True)
class Naming:
    """What the roles of one repository have to say of themselves.

    Attributes:
        repository: The sha256 of its first root; None where that is not known.
        named: Which roles have to say their name and repository: ``OWN_ROLES``, ``ALL_ROLES``, or
            None for none. Repositories of other tools, and older ones of securepip, promise none.
    """

    repository: Sha256 | None = None
    named: str | None = None

    def includes(self, name: str) -> bool:
        """Whether the role of that name has to say name and repository."""
        if project_of_role(name) is not None:
            return self.named == ALL_ROLES
        return self.named is not None

    def joined(self, other: Naming) -> Naming:
        """What both ask for together.

        Raises:
            FormatError: They are of different repositories.
        """
        if self.repository and other.repository and self.repository != other.repository:
            raise FormatError(
                f"the role 'targets' is of the repository whose first root has the sha256 "
                f"{other.repository}, and not {self.repository}"
            )
        named = max(self.named, other.named, key=_LEVELS.index)
        return Naming(self.repository or other.repository, named)


def naming_of(targets: Targets) -> Naming:
    """What the top-level ``targets``, which offline keys sign, says of all roles.

    Raises:
        FormatError: It says something that has no meaning.
    """
    named = targets.unrecognized_fields.get(NAMED_FIELD)
    repository = targets.unrecognized_fields.get(REPOSITORY_FIELD)
    if named not in _LEVELS or (named is not None and repository is None):
        raise FormatError(f"the role 'targets' says of the names of roles: {named!r:.80}")
    return Naming(None if repository is None else parse_sha256(repository), named)


def name_role(role: Targets, name: str, repository: Sha256 | None) -> None:
    """Let a role that is about to be signed say its name and its repository."""
    role.unrecognized_fields[ROLE_FIELD] = name
    if repository is not None:
        role.unrecognized_fields[REPOSITORY_FIELD] = repository


def give_reason(role: Targets, words: str) -> None:
    """Let a project's role that is about to be signed say why (``formats.words.parse_reason``)."""
    role.unrecognized_fields[REASON_FIELD] = words


def reason_of(role: Targets) -> str:
    """Why a project's role was signed, in its maintainers' words; empty where it does not say.

    Raises:
        FormatError: It says something that is no line of words.
    """
    words = role.unrecognized_fields.get(REASON_FIELD)
    return "" if words is None else parse_reason(words)


def is_named(role: Targets) -> bool:
    """Whether a role says both name and repository."""
    return {ROLE_FIELD, REPOSITORY_FIELD} <= role.unrecognized_fields.keys()


def check_role(name: str, role: Targets, delegator: Root | Targets, naming: Naming) -> None:
    """See to it that a role, validly signed, is the one that it is taken for.

    Args:
        name: The name under which it was found.
        role: Its contents.
        delegator: The role that delegates to it.
        naming: What roles of this repository have to say.

    Raises:
        FormatError: It is another role, of another repository, or holds what belongs elsewhere.
    """
    check_name(name, role, naming)
    _check_bin(name, role, delegator)


def check_name(name: str, role: Targets, naming: Naming) -> None:
    """See to it that a role says what it has to of its name and repository, and nothing else.

    A role that says nothing is accepted where nothing was promised, except shards of ``claimed``,
    which have said their names from the first one on.

    Raises:
        FormatError: It is another role, or of another repository.
    """
    must = naming.includes(name)
    said = role.unrecognized_fields.get(ROLE_FIELD)
    if said != name and (must or said is not None or name.startswith(f"{CLAIMED_ROLE}.")):
        signed_as = "with no name of a role" if said is None else f"as {said!r:.100}"
        raise FormatError(f"what is served as the role {name!r:.100} was signed {signed_as}")
    said = role.unrecognized_fields.get(REPOSITORY_FIELD)
    if said != naming.repository and (must or (said is not None and naming.repository)):
        signed_for = "for no repository" if said is None else f"for the repository {said!r:.100}"
        raise FormatError(
            f"what is served as the role {name!r:.100} was signed {signed_for}; the sha256 of this "
            f"one's first root is {naming.repository}"
        )


def _check_bin(name: str, role: Targets, delegator: Root | Targets) -> None:
    """See to it that a hash bin holds nothing that belongs to another: it would be that other."""
    delegations = delegator.delegations if isinstance(delegator, Targets) else None
    if delegations is None:
        return
    belongs: Callable[[str], bool]
    if delegations.succinct_roles is not None:
        # `get_role_for_target` says the same, in three times the time: a large bin has hundreds.
        bits, start = delegations.succinct_roles.bit_length, delegations.succinct_roles.name_prefix
        number = int(name.removeprefix(f"{start}-"), 16)

        def belongs(path: str) -> bool:
            digest = hashlib.sha256(path.encode()).digest()
            return int.from_bytes(digest[:4], "big") >> (32 - bits) == number

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
