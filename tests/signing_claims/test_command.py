"""The commands, as maintainers at two machines, an operator and a user type them."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.machine import Finished, Machine
from tests.support.repositories import MadeRepository, make_repository, serve
from tests.support.wheels import make_sdist, make_wheel


@dataclass
class Place:
    """What the commands have to do with: one machine for each person, one served repository."""

    made: MadeRepository
    url: str
    alice: Machine
    bob: Machine
    user: Machine
    desk: Path
    """Where files are handed from one to the other."""

    def operator(self, verb: str, *words: str | Path) -> Finished:
        return self.user.run(
            "repo", verb, self.made.folder, *words, "--keys", self.made.online_keys
        )

    def publish(self, verb: str, path: Path) -> None:
        done = self.operator(verb, path)
        assert done.code == 0, done.err


@pytest.fixture
def place(made: MadeRepository, tmp_path: Path, empty_environment: Path) -> Iterator[Place]:
    machines = []
    for name in ("alice", "bob", "user"):
        (tmp_path / name).mkdir()
        machines.append(Machine(tmp_path / name, empty_environment))
    desk = tmp_path / "desk"
    desk.mkdir()
    with serve(made.folder) as url:
        for machine in machines:
            machine.trust(made, url)
        alice, bob, user = machines
        yield Place(made, url, alice, bob, user, desk)


def ok(done: Finished) -> str:
    assert done.code == 0, done.err
    return done.out


def keygen(machine: Machine, desk: Path, name: str) -> Path:
    public = desk / f"{name}.json"
    out = ok(machine.run("sign", "keygen", "--public", public))
    assert re.search(r"Your key: +[0-9a-f]{64}\n", out)
    return public


def test_two_maintainers_release_from_two_homes_and_one_alone_cannot(place: Place) -> None:
    keys = [keygen(place.alice, place.desk, "alice"), keygen(place.bob, place.desk, "bob")]
    request = place.desk / "claim.zip"
    out = ok(
        place.alice.run(
            "sign", "claim", "app", "--key", keys[0], "--key", keys[1], "--threshold", "2",
            "--repository", place.url, "-o", request,
        )
    )  # fmt: skip
    assert "1 more signature needed" in out
    assert place.operator("claim", request).code == 3
    assert "Hand it to the operator: securepip repo claim" in ok(
        place.bob.run("sign", "add-signature", request)
    )
    place.publish("claim", request)
    ok(place.user.install("app"))

    release = place.desk / "release.zip"
    wheel = make_wheel(place.desk, "app", "3.0")
    sdist = make_sdist(place.desk, "app", "3.0")
    why = ("--why", "it has become faster")
    ok(place.alice.run("sign", "release", "app", wheel, sdist, "-o", release, *why))
    refused = place.operator("accept", release)
    assert refused.code == 3
    assert "1 of the project's keys have signed its role, 2 of 2 have to" in refused.err
    assert "a threshold of the project's registered keys" in refused.err
    # With one signature nothing is published.
    assert "up to date" in ok(place.user.run("trust", "refresh"))
    ok(place.user.install("-U", "app"))
    assert place.user.version_of("app") == "2.0"
    # A second signature of the same maintainer is none.
    assert "1 more signature needed" in ok(place.alice.run("sign", "add-signature", release))
    assert place.operator("accept", release).code == 3

    # What is published already does not matter, as in `dist/*`; with other bytes it does.
    old = make_wheel(place.desk / "old", "app", "2.0")
    assert "published already" in ok(place.alice.run("sign", "release", "app", old))
    other = make_wheel(place.desk / "other", "app", "2.0", requires=["lib"])
    done = place.alice.run("sign", "release", "app", other)
    assert done.code == 1 and "published files never change" in done.err

    out = ok(place.bob.run("sign", "add-signature", release))
    assert f"adds {wheel.name}" in out and f"adds {sdist.name}" in out
    assert "because: it has become faster" in out
    place.publish("accept", release)
    accepted = ok(place.user.run("repo", "log", place.made.folder)).rpartition("repo accept ")[2]
    assert accepted.startswith("release.zip\n    because: it has become faster\n")
    ok(place.user.install("-U", "app"))
    assert place.user.version_of("app") == "3.0"


def test_a_second_signature_is_for_the_repository_that_the_transaction_names(
    place: Place, tmp_path: Path
) -> None:
    keys = [keygen(place.alice, place.desk, "alice"), keygen(place.bob, place.desk, "bob")]
    request = place.desk / "claim.zip"
    words = ("--key", keys[0], "--key", keys[1], "--threshold", "2", "-o", request)
    ok(place.alice.run("sign", "claim", "app", *words))
    wheel = make_wheel(tmp_path / "built", "app", "1.0")
    other = make_repository(tmp_path / "other", wheel, expected_files=1)
    with serve(other.folder) as url:
        ok(place.bob.run("trust", "remove", "made"))
        place.bob.trust(other, url, "other")
        place.bob.trust(place.made, place.url, "made")
        assert place.bob.run("sign", "add-signature", request, "--repository", "other").code == 3
        out = ok(place.bob.run("sign", "add-signature", request))
    assert f"The repository is made ({place.url}" in out
    place.publish("claim", request)


def test_the_life_of_a_project_that_signs_for_itself(place: Place) -> None:
    keygen(place.alice, place.desk, "alice")
    first = place.desk / "1.zip"
    ok(place.alice.run("sign", "claim", "app", "-o", first))
    assert "whoever has the\nonline key could give" in ok(place.operator("claim", first))
    assert "app is claimed" in ok(
        place.operator("promote", "--offline-keys", place.made.offline_keys)
    )
    assert "in claimed" in ok(place.alice.run("sign", "keys", "app"))

    two = place.desk / "2.zip"
    ok(place.alice.run("sign", "yank", "app", "1.0", "--reason", "breaks things", "-o", two))
    assert "app-1.0-py3-none-any.whl (yanked)" in ok(place.operator("accept", two))
    pinned = place.user.install("app==1.0")
    assert pinned.code == 0 and "breaks things" in pinned.out + pinned.err
    undo = place.desk / "undo.zip"
    ok(place.alice.run("sign", "yank", "app", "1.0", "--undo", "-o", undo))
    ok(place.operator("accept", undo))

    three = place.desk / "3.zip"
    ok(place.alice.run("sign", "withdraw", "app", "2.0", "-o", three))
    assert "frozen: what is published stays" in ok(
        place.operator("freeze", "app", "--reason", "a stolen laptop")
    )
    frozen = place.operator("accept", three)
    assert frozen.code == 1 and "app is frozen (a stolen laptop)" in frozen.err
    assert "app: in claimed, expires" in ok(place.operator("status"))
    ok(place.operator("freeze", "app", "--lift"))
    assert "Withdrawn: app-2.0-py3-none-any.whl" in ok(place.operator("accept", three))
    ok(place.user.install("app"))
    assert place.user.version_of("app") == "1.0"

    # Bob takes over.
    bob = keygen(place.bob, place.desk, "bob")
    listed = ok(place.alice.run("sign", "keys", "app"))
    (old,) = re.findall(r"[0-9a-f]{64}", listed)
    change = place.desk / "keys.zip"
    out = ok(
        place.alice.run(
            "sign", "keys", "app", "--add", bob, "--remove", old[:12], "-o", change
        )
    )  # fmt: skip
    assert "1 more signature needed" in out
    ok(place.bob.run("sign", "add-signature", change))
    assert "Until then the present keys sign" in ok(place.operator("accept", change))
    assert "other keys wait" in ok(place.operator("status"))
    ok(place.operator("promote", "--offline-keys", place.made.offline_keys))
    wheel = make_wheel(place.desk, "app", "4.0")
    assert "none of the keys of app is here" in (
        place.alice.run("sign", "release", "app", wheel, "-o", place.desk / "no.zip").err
    )
    five = place.desk / "5.zip"
    ok(place.bob.run("sign", "release", "app", wheel, "-o", five))
    ok(place.operator("accept", five))
    ok(place.user.install("-U", "app"))
    assert place.user.version_of("app") == "4.0"


def test_a_release_of_nothing_renews_the_signatures(place: Place) -> None:
    keygen(place.alice, place.desk, "alice")
    claim, renewal = place.desk / "claim.zip", place.desk / "renewal.zip"
    ok(place.alice.run("sign", "claim", "app", "--days", "10", "-o", claim))
    place.publish("claim", claim)
    assert "app: in recently-claimed, expires" in ok(place.operator("status"))
    ok(place.alice.run("sign", "release", "app", "-o", renewal))
    assert "app is at version 2" in ok(place.operator("accept", renewal))
    status = ok(place.operator("status"))
    assert "app: in" not in status and "1 project signs for itself" in status


def test_a_maintainer_believes_only_what_is_signed(place: Place) -> None:
    keygen(place.alice, place.desk, "alice")
    # A server that is not the repository's own answers with a page that it changed.
    page = next((place.made.folder / "simple" / "app").glob("*.index.json"))
    page.write_bytes(page.read_bytes().replace(b"app-1.0", b"app-9.9"))
    done = place.alice.run("sign", "claim", "app", "-o", place.desk / "claim.zip")
    assert done.code == 3 and "not what was signed" in done.err
    assert not (place.desk / "claim.zip").exists()
    done = place.alice.run("sign", "add-signature", place.desk / "claim.zip")
    assert (done.code, done.out) == (1, "")
    assert done.err.endswith("claim.zip cannot be read as a transaction: there is no such file\n")


def test_a_project_whose_keys_are_lost_is_claimed_anew(place: Place) -> None:
    keygen(place.alice, place.desk, "alice")
    first, again = place.desk / "first.zip", place.desk / "again.zip"
    out = ok(place.alice.run("sign", "claim", "app", "-o", first))
    assert re.search(r"app-1\.0-py3-none-any\.whl sha256=[0-9a-f]{64}", out)
    place.publish("claim", first)
    offline = ("--offline-keys", place.made.offline_keys)
    ok(place.operator("promote", *offline))
    key = keygen(place.bob, place.desk, "bob")
    assert "--lost-keys" in place.bob.run("sign", "claim", "app", "--key", key).err
    words = ("sign", "claim", "app", "--key", key, "--lost-keys", "-o", again)
    assert "repo claim --replace-keys" in ok(place.bob.run(*words))
    assert place.operator("claim", again).code == 1
    ok(place.operator("claim", again, "--replace-keys", *offline))
    release = place.desk / "release.zip"
    ok(place.bob.run("sign", "release", "app", "-o", release))
    place.publish("accept", release)
    ok(place.user.install("app"))


def test_the_passphrase_of_a_key_is_asked_for(place: Place) -> None:
    secret = place.desk / "secret"
    secret.write_text("correct horse\n")
    public = place.desk / "alice.json"
    out = ok(
        place.alice.run(
            "sign", "keygen", "--passphrase-file", secret, "--keys", place.desk / "keys",
            "--public", public,
        )
    )  # fmt: skip
    assert "ENCRYPTED" in next((place.desk / "keys").glob("*.pem")).read_text()
    assert str(place.desk / "keys") in out
    words = ("sign", "claim", "app", "-o", place.desk / "claim.zip")
    assert "--key FILE" in place.alice.run(*words).err
    named = (*words, "--keys", place.desk / "keys", "--key", public)
    assert "--passphrase-file" in place.alice.run(*named, "--no-input").err
    ok(place.alice.run(*named, "--passphrase-file", secret))
    place.publish("claim", place.desk / "claim.zip")


def test_what_cannot_be_done_is_said(place: Place) -> None:
    no_key = place.alice.run("sign", "claim", "app")
    assert no_key.code == 2 and "securepip sign keygen" in no_key.err
    keygen(place.alice, place.desk, "alice")
    for words, said in (
        (("release", "app", "nowhere.whl"), "nowhere.whl"),
        (("release", "lib"), "lib does not sign for itself"),
        (("yank", "app", "9.9"), "has published no 9.9"),
        (("withdraw", "app", "not a version"), "neither a version nor a file name"),
        (("keys", "lib", "--threshold", "2"), "does not sign for itself"),
        (("release", "../app"), "not a project name"),
        (("release", "app", "--days", "0"), "not a number from 1 to 3650"),
        (("release", "app", "--days", "99999999"), "not a number from 1 to 3650"),
        (("claim", "app", "--threshold", "2"), "a threshold of 2, of 1 key"),
        (("claim", "app", "--key", "nowhere.json"), "nowhere.json cannot be read"),
        (("claim", "app", "--repository", "elsewhere"), "no trusted repository is called"),
        (("add-signature", "nowhere.zip"), "nowhere.zip cannot be read"),
    ):
        done = place.alice.run("sign", *words)
        assert done.code in (1, 2) and said in done.err, (words, done.err)
    shutil.rmtree(place.alice.folder / "data" / "trust")
    assert "trusts no package repository" in place.alice.run("sign", "claim", "app").err
