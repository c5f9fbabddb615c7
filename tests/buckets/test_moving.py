"""A repository moves from a folder into a bucket and back, and its clients continue to work."""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

from securepip.signing.moving import memory
from securepip.signing.repository.state.sqlite import open_sqlite
from tests.buckets.indexes import BucketIndex
from tests.signing.clients import updater
from tests.support.machine import Machine
from tests.support.postgres import postgres
from tests.support.repositories import MadeRepository, serve
from tests.support.store import Store
from tests.support.wheels import make_wheel

ADDRESS = "s3://packages/moved"
WHEELS = ["packages/app/app-1.0-py3-none-any.whl", "packages/lib/lib-1.0-py3-none-any.whl"]
NEW = "packages/new/new-1.0-py3-none-any.whl"


class Client:
    """A python-tuf client that uses one place after the other."""

    def __init__(self, made: MadeRepository, folder: Path) -> None:
        self._made = made
        self._folder = folder

    def look(self, url: str, *paths: str) -> list[bool]:
        """Whether each target is there and can be fetched. An older state would raise an error."""
        client = updater(self._made.folder, self._folder, url)
        client.refresh()
        found = [client.get_targetinfo(path) for path in paths]
        for info in found:
            if info is not None:
                client.download_target(info)
        return [info is not None for info in found]


@pytest.fixture
def moved(operator: Machine, store: Store, made: MadeRepository) -> BucketIndex:
    """A copy of the shared repository, after its move into a bucket."""
    made.repository.state.tokens.create(None)
    made.repository.state.close()
    done = operator.run("repo", "move", made.folder, ADDRESS)
    assert done.code == 0, done.err
    assert "It is signed there from now on" in done.out
    return BucketIndex(operator, store, ADDRESS, made.root_sha256)


def test_a_folder_moves_into_a_bucket_and_back(
    moved: BucketIndex, made: MadeRepository, tmp_path: Path
) -> None:
    client, keys = Client(made, tmp_path / "client"), ("--keys", made.online_keys)
    with serve(made.folder) as url:
        assert client.look(url, *WHEELS, NEW) == [True, True, False]
    timestamp = (made.folder / "metadata/timestamp.json").read_bytes()
    assert moved.read("metadata/timestamp.json") == timestamp
    assert client.look(moved.url, *WHEELS, NEW) == [True, True, False]
    # It is signed in one place alone, and there all is known that was.
    wheel = make_wheel(tmp_path, "new", "1.0")
    refused = moved.operator.run("repo", "add", made.folder, wheel, *keys)
    assert f"was moved to {ADDRESS}" in refused.err
    assert f"Name {ADDRESS} instead. " in refused.err and "database" not in refused.err
    done = moved.run("add", wheel, *keys)
    assert done.code == 0, done.err
    assert client.look(moved.url, NEW) == [True]
    changed = make_wheel(tmp_path / "changed", "new", "1.0", files={"new/other.py": "evil"})
    assert moved.run("add", changed, *keys).code == 1
    for words in (["audit"], ["audit", "--rebuild"]):
        assert moved.run(*words).code == 0
    assert moved.operator.run("repo", "token", "list", ADDRESS).out.count("every project") == 1
    # And back, over the older state that the folder has.
    done = moved.operator.run("repo", "move", ADDRESS, made.folder)
    assert done.code == 0, done.err
    # The same command again changes nothing: what is remembered there is newer by now.
    created = moved.operator.run("repo", "token", "create", made.folder, "--all-projects")
    assert created.code == 0, created.err
    done = moved.operator.run("repo", "move", ADDRESS, made.folder)
    assert done.code == 0, done.err
    assert moved.operator.run("repo", "token", "list", made.folder).out.count("every project") == 2
    with serve(made.folder) as url:
        assert client.look(url, *WHEELS, NEW) == [True, True, True]
    assert "new" in (made.folder / "simple/index.html").read_text()
    assert moved.operator.run("repo", "audit", made.folder).code == 0
    done = moved.operator.run("repo", "remove", made.folder, "new", *keys)
    assert done.code == 0, done.err
    assert f"was moved to {made.folder}" in moved.run("remove", "lib", *keys).err


def test_a_move_that_fails_in_the_middle_is_finished_by_running_it_again(
    operator: Machine, store: Store, made: MadeRepository, tmp_path: Path
) -> None:
    keys = ("--keys", made.online_keys)
    wheel = make_wheel(tmp_path, "new", "1.0")
    for number, name in enumerate(("packages/", "metadata/", "metadata/timestamp.json")):
        store.decide = lambda method, asked, name=name: (  # type: ignore[misc]
            503 if method == "PUT" and asked.startswith(f"moved/{name}") else None
        )
        done = operator.run("repo", "move", made.folder, ADDRESS)
        assert done.code == 1
        assert "the store answers 503" in done.err
        assert "metadata/timestamp.json" not in store.names("moved")
        # As long as the old place has not given up its right to sign, it goes on.
        again = operator.run("repo", "add", made.folder, wheel, *keys)
        assert (again.code == 0) == (number < 2), again.err
    assert "securepip repo move" in again.err
    store.decide = lambda method, name: None
    # What a stranger has put there meanwhile is not taken for what was signed.
    name = next(each for each in store.names("moved/packages/lib") if each.endswith("any.whl"))
    store.put(f"moved/packages/lib/{name}", b"evil")
    done = operator.run("repo", "move", made.folder, ADDRESS)
    assert done.code == 0, done.err
    client = Client(made, tmp_path / "client")
    assert client.look(store.public_url(ADDRESS), *WHEELS, NEW) == [True, True, True]
    # It can go on to a folder that is new; what is remembered there is for nobody else.
    done = operator.run("repo", "move", ADDRESS, tmp_path / "third")
    assert done.code == 0, done.err
    refused = operator.run("repo", "move", made.folder, ADDRESS)
    assert f"to {tmp_path / 'third'} meanwhile" in refused.err
    with serve(tmp_path / "third") as url:
        assert client.look(url, *WHEELS, NEW) == [True, True, True]
    assert (tmp_path / "third" / "state").stat().st_mode & 0o777 == 0o700


def test_a_move_that_is_killed_is_finished_by_running_it_again(
    operator: Machine, store: Store, made: MadeRepository, tmp_path: Path
) -> None:
    made.repository.state.close()
    client = Client(made, tmp_path / "client")
    with serve(made.folder) as url:
        assert client.look(url, *WHEELS) == [True, True]
    # The second one comes to the store, which writes it; nobody is left to say so in the settings.
    for name in ("packages/lib/", "metadata/timestamp.json"):
        with operator.start("repo", "move", made.folder, ADDRESS) as process:

            def decide(
                method: str, asked: str, name: str = name, process: subprocess.Popen[str] = process
            ) -> None:
                if method == "PUT" and asked.startswith(f"moved/{name}"):
                    process.kill()

            store.decide = decide
            process.communicate(timeout=60)
            assert process.returncode == -signal.SIGKILL
    store.decide = lambda method, name: None
    assert "metadata/timestamp.json" in store.names("moved")
    with serve(made.folder) as url:
        assert client.look(url, *WHEELS) == [True, True]
    assert client.look(store.public_url(ADDRESS), *WHEELS) == [True, True]
    done = operator.run("repo", "move", made.folder, ADDRESS)
    assert done.code == 0, done.err
    done = operator.run(
        "repo", "add", ADDRESS, make_wheel(tmp_path, "new", "1.0"), "--keys", made.online_keys
    )
    assert done.code == 0, done.err
    assert client.look(store.public_url(ADDRESS), *WHEELS, NEW) == [True, True, True]
    assert operator.run("repo", "audit", ADDRESS).code == 0


def test_a_database_takes_over_the_memory_and_keeps_it_when_files_move_on(
    operator: Machine, store: Store, made: MadeRepository, tmp_path: Path
) -> None:
    made.repository.state.close()
    client, keys = Client(made, tmp_path / "client"), ("--keys", made.online_keys)
    with postgres() as server:
        url = server.database()
        done = operator.run("repo", "move", made.folder, ADDRESS, "--to-database", url)
        assert done.code == 0, done.err
        known = (*keys, "--database", url)
        done = operator.run("repo", "add", ADDRESS, make_wheel(tmp_path, "new", "1.0"), *known)
        assert done.code == 0, done.err
        assert client.look(store.public_url(ADDRESS), *WHEELS, NEW) == [True, True, True]
        folder = tmp_path / "other"
        done = operator.run("repo", "move", ADDRESS, folder, "--database", url)
        assert done.code == 0, done.err
        assert f"was moved to {folder}" in operator.run("repo", "remove", ADDRESS, "x", *known).err
        assert "remembers in a database" in operator.run("repo", "status", folder).err
        done = operator.run("repo", "remove", folder, "new", *known)
        assert done.code == 0, done.err
        done = operator.run("repo", "audit", folder, "--database", url)
        assert done.code == 0, done.err
    with serve(folder) as served:
        assert client.look(served, *WHEELS, NEW) == [True, True, False]


def test_what_is_not_whole_or_leads_elsewhere_is_not_moved(
    operator: Machine, store: Store, made: MadeRepository, tmp_path: Path
) -> None:
    def refused(words: str, source: Path | str = made.folder, target: Path | str = ADDRESS) -> None:
        done = operator.run("repo", "move", source, target)
        assert done.code in (1, 2)
        assert words in done.err

    done = operator.run("repo", "init", "s3://packages/other", "--expected-files", "1")
    assert done.code == 0, done.err
    refused("holds another repository", target="s3://packages/other")
    (tmp_path / "full" / "packages" / "x").mkdir(parents=True)
    (tmp_path / "full" / "packages" / "x" / "y").write_text("")
    refused("is not empty", target=tmp_path / "full")
    refused("is there already", target=made.folder)
    shutil.copytree(made.folder, tmp_path / "copy")
    refused("signs for the same repository", target=tmp_path / "copy")
    (twin,) = (
        path for path in made.folder.glob("packages/lib/*.whl") if not path.name.startswith("lib-")
    )
    data = twin.read_bytes()
    twin.unlink()
    twin.write_bytes(data[:-1] + b"x")
    refused("sha256")
    twin.unlink()
    refused("is missing")
    twin.write_bytes(data)
    # Of a role, nothing but its signature says what it has to be.
    listed = made.repository.roles().snapshot.signed.meta
    last = max(name for name in listed if name.startswith("bin-"))
    role = made.folder / "metadata" / f"{listed[last].version}.{last}"
    signed = role.read_bytes()
    role.write_bytes(re.sub(rb'("expires": ?")2', rb"\g<1>3", signed))
    refused("is not signed as it has to be")
    role.write_bytes(signed)
    done = operator.run("repo", "move", made.folder, ADDRESS)
    assert done.code == 0, done.err


def test_an_older_state_does_not_replace_what_is_current(
    moved: BucketIndex, made: MadeRepository, tmp_path: Path
) -> None:
    """Another machine remembers nothing of the bucket."""
    done = moved.run("add", make_wheel(tmp_path, "new", "1.0"), "--keys", made.online_keys)
    assert done.code == 0, done.err
    current = moved.read("metadata/timestamp.json")
    another = {"SECUREPIP_DATA_DIR": str(tmp_path / "another machine")}
    done = moved.operator.run("repo", "move", made.folder, ADDRESS, **another)
    assert done.code == 1
    assert f"what is current in {ADDRESS} is not older than" in done.err
    assert moved.read("metadata/timestamp.json") == current


def test_no_table_is_forgotten(tmp_path: Path) -> None:
    rows = open_sqlite(tmp_path / "ledger.sqlite3").execute(
        "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
    )
    assert {name for (name,) in rows} == {*memory.TABLES, *memory.REMADE}
