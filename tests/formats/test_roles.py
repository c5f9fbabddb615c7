"""Which role a signed file is: what it says of itself, and what has to say so."""

from __future__ import annotations

from contextlib import nullcontext

import pytest
from tuf.api.metadata import DelegatedRole, Delegations, SuccinctRoles, TargetFile, Targets

from securepip.errors import FormatError
from securepip.formats.digests import Sha256
from securepip.formats.layout import (
    ALL_ROLES,
    NAMED_FIELD,
    OWN_ROLES,
    REPOSITORY_FIELD,
    ROLE_FIELD,
)
from securepip.formats.roles import (
    Naming,
    check_name,
    check_role,
    give_reason,
    is_named,
    name_role,
    naming_of,
    reason_of,
)

OURS, THEIRS = Sha256("a" * 64), Sha256("b" * 64)


def role(name: str | None = None, repository: Sha256 | None = None) -> Targets:
    made = Targets()
    if name is not None:
        made.unrecognized_fields[ROLE_FIELD] = name
    if repository is not None:
        made.unrecognized_fields[REPOSITORY_FIELD] = repository
    return made


@pytest.mark.parametrize(
    ("named", "name", "said", "said_for", "is_right"),
    [
        # Nothing was promised: a role may say nothing, but nothing else.
        (None, "bins-0", None, None, True),
        (None, "bins-0", "bins-0", OURS, True),
        (None, "bins-0", "bins-1", OURS, False),
        (None, "bins-0", None, THEIRS, False),
        (None, "project.app", None, None, True),
        (None, "project.app", "project.lib", None, False),
        (None, "claimed", None, None, True),
        (None, "claimed.a", None, None, False),
        (None, "claimed.a", "claimed.a", None, True),
        # The repository's own roles say it, those of projects perhaps not.
        (OWN_ROLES, "bins-0", "bins-0", OURS, True),
        (OWN_ROLES, "bins-0", None, OURS, False),
        (OWN_ROLES, "bins-0", "bins-0", None, False),
        (OWN_ROLES, "bins-0", "bins-0", THEIRS, False),
        (OWN_ROLES, "project.app", None, None, True),
        (OWN_ROLES, "project.app", None, THEIRS, False),
        # All say it.
        (ALL_ROLES, "project.app", "project.app", OURS, True),
        (ALL_ROLES, "project.app", None, OURS, False),
        (ALL_ROLES, "project.app", "project.app", None, False),
    ],
)
def test_a_role_says_what_it_has_to_and_nothing_else(
    named: str | None, name: str, said: str | None, said_for: Sha256 | None, is_right: bool
) -> None:
    with nullcontext() if is_right else pytest.raises(FormatError, match="what is served as"):
        check_name(name, role(said, said_for), Naming(OURS, named))


def test_of_a_repository_that_is_not_known_yet_no_role_is_of_another() -> None:
    check_name("bins-0", role("bins-0", THEIRS), Naming(None, None))
    with pytest.raises(FormatError):
        check_name("bins-0", role("bins-0", THEIRS), Naming(None, OWN_ROLES))


@pytest.mark.parametrize(
    ("one", "other", "both"),
    [
        (Naming(), Naming(OURS, OWN_ROLES), Naming(OURS, OWN_ROLES)),
        (Naming(OURS, ALL_ROLES), Naming(), Naming(OURS, ALL_ROLES)),
        (Naming(OURS, ALL_ROLES), Naming(OURS, OWN_ROLES), Naming(OURS, ALL_ROLES)),
        (Naming(OURS), Naming(None, ALL_ROLES), Naming(OURS, ALL_ROLES)),
    ],
)
def test_what_was_promised_once_is_not_taken_back(one: Naming, other: Naming, both: Naming) -> None:
    assert one.joined(other) == other.joined(one) == both


def test_two_repositories_promise_nothing_together() -> None:
    with pytest.raises(FormatError, match="is of the repository"):
        Naming(OURS).joined(Naming(THEIRS))


@pytest.mark.parametrize(
    ("named", "repository", "promise"),
    [
        (None, None, Naming()),
        (None, OURS, Naming(OURS)),
        (OWN_ROLES, OURS, Naming(OURS, OWN_ROLES)),
        (ALL_ROLES, OURS, Naming(OURS, ALL_ROLES)),
        (ALL_ROLES, None, None),
        ("something", OURS, None),
        (ALL_ROLES, "no digest", None),
        (None, 1, None),
    ],
)
def test_targets_promises_names_in_words_that_have_a_meaning(
    named: object, repository: object, promise: Naming | None
) -> None:
    targets = Targets()
    if named is not None:
        targets.unrecognized_fields[NAMED_FIELD] = named
    if repository is not None:
        targets.unrecognized_fields[REPOSITORY_FIELD] = repository
    if promise is None:
        with pytest.raises(FormatError):
            naming_of(targets)
    else:
        assert naming_of(targets) == promise


def test_a_role_is_named_by_both_its_name_and_its_repository() -> None:
    named = Targets()
    assert not is_named(named)
    name_role(named, "bins-0", None)
    assert not is_named(named)
    name_role(named, "bins-0", OURS)
    assert is_named(named)
    check_name("bins-0", named, Naming(OURS, ALL_ROLES))
    assert reason_of(named) == ""
    give_reason(named, "a new key")
    assert reason_of(named) == "a new key"
    give_reason(named, "two\nlines")
    with pytest.raises(FormatError):
        reason_of(named)


def bins(count: int) -> tuple[Targets, Targets]:
    """Two delegators of as many hash bins: succinct, and with prefixes."""
    bits = count.bit_length() - 1
    succinct = SuccinctRoles([], 1, bits, "bins")
    prefixes = {
        f"bins-{number:x}": DelegatedRole(
            f"bins-{number:x}", [], 1, False, path_hash_prefixes=[f"{number:x}"]
        )
        for number in range(count)
    }
    return (
        Targets(delegations=Delegations({}, succinct_roles=succinct)),
        Targets(delegations=Delegations({}, roles=prefixes)),
    )


@pytest.mark.parametrize("kind", [0, 1], ids=["succinct", "prefixes"])
def test_a_hash_bin_holds_what_hashes_to_it_and_nothing_else(kind: int) -> None:
    delegator = bins(16)[kind]
    path = "simple/app/index.json"
    delegations = bins(16)[0].delegations
    assert delegations is not None
    assert delegations.succinct_roles is not None
    right = delegations.succinct_roles.get_role_for_target(path)
    for number in range(16):
        name = f"bins-{number:x}"
        of_bin = role()
        check_role(name, of_bin, delegator, Naming())
        of_bin.targets[path] = TargetFile(1, {"sha256": "0" * 64}, path)
        with nullcontext() if name == right else pytest.raises(FormatError, match="another one"):
            check_role(name, of_bin, delegator, Naming())


def test_who_delegates_by_paths_says_himself_what_belongs_where() -> None:
    path = "simple/app/index.json"
    held = Targets(targets={path: TargetFile(1, {"sha256": "0" * 64}, path)})
    by_path = DelegatedRole("project.app", [], 1, True, paths=["simple/app/*"])
    check_role(
        "project.app",
        held,
        Targets(delegations=Delegations({}, roles={"project.app": by_path})),
        Naming(),
    )
    check_role("other", held, Targets(), Naming())
    with pytest.raises(FormatError, match="was signed as"):
        check_role("other", role("another"), Targets(), Naming())
