"""PEP 480's rules of concurrency: several transactions at one time, and none is lost or torn.

Each test starts real processes at the same moment, and looks at what is published afterwards.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from packaging.utils import NormalizedName

from securepip.signing.claims.promote import promote
from securepip.signing.claims.transactions.accept import claim as accept_claim
from tests.signing.clients import fetch_everything
from tests.support.maintainers import Maintainers, claim
from tests.support.repositories import MadeRepository
from tests.support.wheels import make_wheel

_SOURCES = Path(__file__).parents[2] / "src"
_WORKER = f"""
import sys; sys.path.insert(0, {str(_SOURCES)!r})
from pathlib import Path
from securepip.errors import SecurepipError
from securepip.signing.publish.add import add
from securepip.signing.claims.promote import promote
from securepip.signing.repository.repository import Repository
from securepip.signing.claims.transactions.accept import accept, claim
verb, folder, *paths = sys.argv[1:]
with Repository.open(Path(folder)) as repository:
    print(flush=True)
    sys.stdin.readline()
    try:
        if verb == "add": add(repository, [Path(path) for path in paths])
        elif verb == "promote": promote(repository)
        else: {{"accept": accept, "claim": claim}}[verb](repository, Path(paths[0]))
    except SecurepipError as error:
        sys.exit(str(error))
"""


def at_once(made: MadeRepository, *jobs: Sequence[str | Path]) -> list[str]:
    """Run the jobs in a process each, at the same moment; what each says of its failure."""
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", _WORKER, str(verb), str(made.folder), *map(str, paths)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for verb, *paths in jobs
    ]
    for process in processes:
        assert process.stdout is not None
        process.stdout.readline()  # until it is ready
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    return [process.communicate(timeout=60)[1] for process in processes]


def published(made: MadeRepository, client: Path) -> set[str]:
    """The names of all files that a client finds and verifies."""
    return {path.rpartition("/")[2] for path in fetch_everything(made.folder, client)}


def test_two_transactions_for_one_project_do_not_mix(
    claimed: MadeRepository, alice: Maintainers, tmp_path: Path
) -> None:
    wheels = [make_wheel(tmp_path / "dist", "app", version) for version in ("3.0", "4.0")]
    paths = [alice.release(claimed, "app", tmp_path, wheel) for wheel in wheels]
    failures = at_once(claimed, *(("accept", path) for path in paths))
    # Rule 1: one of them wins, and the other is told to look again.
    assert sorted(map(bool, failures)) == [False, True]
    assert "Make the transaction again" in "".join(failures)
    found = published(claimed, tmp_path / "client")
    assert sum(wheel.name in found for wheel in wheels) == 1


def test_transactions_for_different_projects_are_accepted_at_the_same_time(
    claimed: MadeRepository, alice: Maintainers, tmp_path: Path
) -> None:
    bob = Maintainers.of(1)
    claim(claimed, "lib", bob)
    one = make_wheel(tmp_path / "dist", "app", "3.0")
    two = make_wheel(tmp_path / "dist", "lib", "3.0")
    jobs = (
        ("accept", alice.release(claimed, "app", tmp_path, one)),
        ("accept", bob.release(claimed, "lib", tmp_path, two)),
    )
    assert at_once(claimed, *jobs) == ["", ""]
    assert {one.name, two.name} <= published(claimed, tmp_path / "client")


def test_unclaimed_projects_of_one_bin_are_published_at_the_same_time(
    made: MadeRepository, tmp_path: Path
) -> None:
    # Rule 2: with two bins, some of these share one.
    wheels = [make_wheel(tmp_path / "dist", name, "1.0") for name in ("one", "two", "three")]
    assert at_once(made, *(("add", wheel) for wheel in wheels)) == ["", "", ""]
    assert {wheel.name for wheel in wheels} <= published(made, tmp_path / "client")


def test_new_claims_at_the_same_time_are_both_in_effect(
    made: MadeRepository, tmp_path: Path
) -> None:
    # Rule 3: both are written into `recently-claimed`.
    requests = [
        Maintainers.of(1).request(made, name, tmp_path / "requests") for name in ("app", "lib")
    ]
    assert at_once(made, *(("claim", path) for path in requests)) == ["", ""]
    roles = made.repository.roles()
    assert {each.project for each in roles.claims_below("recently-claimed").claims()} == {
        "app", "lib",
    }  # fmt: skip
    assert len(published(made, tmp_path / "client")) == 4


def test_two_promotions_at_the_same_time_are_one(claimed: MadeRepository, tmp_path: Path) -> None:
    # Rule 4.
    assert at_once(claimed, ("promote",), ("promote",)) == ["", ""]
    roles = claimed.repository.roles()
    assert [each.project for each in roles.claims_below("claimed").claims()] == ["app"]
    assert roles.role("claimed.ap").signed.version == 1
    assert len(published(claimed, tmp_path / "client")) == 4


def test_a_promotion_and_a_new_claim_at_the_same_time_do_not_lose_each_other(
    claimed: MadeRepository, tmp_path: Path
) -> None:
    # Rule 5.
    request = Maintainers.of(1).request(claimed, "lib", tmp_path / "requests")
    assert at_once(claimed, ("promote",), ("claim", request)) == ["", ""]
    promote(claimed.repository)
    roles = claimed.repository.roles()
    assert {each.project for each in roles.claims_below("claimed").claims()} == {"app", "lib"}
    assert len(published(claimed, tmp_path / "client")) == 4


def test_a_claim_and_an_upload_of_one_project_do_not_lose_each_other(
    made: MadeRepository, tmp_path: Path
) -> None:
    wheel = make_wheel(tmp_path / "dist", "app", "3.0")
    request = Maintainers.of(1).request(made, "app", tmp_path / "requests")
    failures = at_once(made, ("add", wheel), ("claim", request))
    # Whoever is second is refused: the claim did not cover the file, or the project signs itself.
    assert sorted(map(bool, failures)) == [False, True], failures
    came_first = not failures[0]
    assert (wheel.name in published(made, tmp_path / "client")) == came_first
    claimed = made.repository.roles().claim(NormalizedName("app")) is not None
    assert claimed != came_first
    if came_first:
        again = Maintainers.of(1).request(made, "app", tmp_path / "requests")
        accept_claim(made.repository, again)
        assert wheel.name in published(made, tmp_path / "client")
