"""A repository in a bucket: the whole way, and everything that the bucket may do to it."""

from __future__ import annotations

from pathlib import Path

from tests.support.machine import Machine
from tests.support.store import Store
from tests.support.wheels import make_wheel


def made_in(operator: Machine, address: str, *wheels: Path) -> str:
    """A repository there, with wheels; the digest of its root."""
    done = operator.run("repo", "init", address, "--expected-files", "10")
    assert done.code == 0, done.err
    if wheels:
        done = operator.run("repo", "add", address, *wheels)
        assert done.code == 0, done.err
    (line,) = (line for line in operator.run("repo", "log", address, "--json").out.splitlines()[:1])
    assert line
    return next(word for word in operator.run("repo", "init", address).err.split())


def test_everything_from_init_to_an_install(
    operator: Machine, store: Store, address: str, tmp_path: Path
) -> None:
    done = operator.run("repo", "init", address, "--expected-files", "10")
    assert done.code == 0, done.err
    print(done.out, store.seen, len(store.seen))
    root = done.out.split("root sha256:")[1].split()[0]
    store.seen.clear()
    done = operator.run("repo", "add", address, make_wheel(tmp_path / "b", "app", "1.0"))
    print(done.out, done.err, *store.seen, len(store.seen), sep="\n")
    assert done.code == 0, done.err
    url = store.public_url(address)
    for words in (("status",), ("refresh",), ("audit",), ("gc",), ("log",)):
        done = operator.run("repo", words[0], address)
        print(words, done.code, done.out[-300:], done.err)
    done = operator.run("trust", "add", "made", url, "--root-sha256", root)
    assert done.code == 0, done.err
    done = operator.install("app")
    assert done.code == 0, done.err
    assert 0
