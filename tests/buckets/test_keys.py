"""Each command that uses offline keys, on a repository in a bucket."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.buckets.indexes import BucketIndex
from tests.support.machine import Finished
from tests.support.wheels import make_wheel

APP = ["packages/app/app-1.0-py3-none-any.whl", "packages/app/app-2.0-py3-none-any.whl"]
STRAY = "metadata/1.project.app.json"


def ok(done: Finished) -> str:
    assert done.code == 0, done.err
    return done.out


@pytest.fixture
def offline(index: BucketIndex, tmp_path: Path) -> Path:
    """The folder of its offline keys."""
    index.add(make_wheel(tmp_path, "app", "1.0"))
    (folder,) = (tmp_path / "data" / "keys").glob("*/offline")
    return folder


def test_a_project_signs_for_itself_and_a_ceremony_has_it_claimed(
    index: BucketIndex, offline: Path, tmp_path: Path
) -> None:
    alice, request, release = index.operator, tmp_path / "claim.zip", tmp_path / "release.zip"
    ok(alice.run("trust", "add", "made", index.url, "--root-sha256", index.root_sha256))
    ok(alice.run("sign", "keygen", "--public", tmp_path / "alice.json"))
    ok(alice.run("sign", "claim", "app", "-o", request))
    # What a run that was killed has left under the name of the role, or a thief put there.
    index.store.put(index.key(STRAY), b"{}")
    ok(index.run("claim", request))
    assert json.loads(index.read(STRAY))["signatures"]
    ok(alice.run("sign", "release", "app", make_wheel(tmp_path, "app", "2.0"), "-o", release))
    ok(index.run("accept", release))
    assert index.look(tmp_path / "client", *APP) == [True, True]
    assert "signs for itself" in index.run("add", make_wheel(tmp_path, "app", "3.0")).err

    bundle = tmp_path / "bundle"
    ok(alice.run("repo", "ceremony", "prepare", index.address, bundle, "--renew", "claimed"))
    known = ("--keys", offline, "--root-sha256", index.root_sha256)
    ok(alice.run("repo", "ceremony", "sign", bundle, "--yes", *known))
    ok(alice.run("repo", "ceremony", "collect", index.address, bundle))
    assert "1 project signs for itself; 0 wait for `promote`" in ok(index.run("status"))
    assert index.look(tmp_path / "client", *APP) == [True, True]
    assert index.run("audit").code == 0


def test_a_repository_comes_back_from_what_somebody_did_to_its_bucket(
    index: BucketIndex, offline: Path, tmp_path: Path
) -> None:
    good = tmp_path / "good"
    for name in index.store.names("index"):
        copy = good / name
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(index.read(name))
    (online,) = (tmp_path / "data" / "keys").glob("*/online")
    index.add(make_wheel(tmp_path, "evil", "1.0"))  # by who has stolen the online key
    index.store.put(index.key(APP[1]), b"evil")
    words = ("--good", good, "--keys", online, "--offline-keys", offline, "--yes")
    said = ok(index.run("recover", *words))
    assert "dropped: packages/evil/evil-1.0-py3-none-any.whl" in said
    assert index.look(tmp_path / "client", APP[0], "simple/evil/index.json") == [True, False]
    assert f"index/{APP[1]}" not in {f"index/{name}" for name in index.store.names("index")}
    assert index.run("audit").code == 0
    index.add(make_wheel(tmp_path, "lib", "1.0"))
