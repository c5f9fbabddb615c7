"""A mirror without any key serves one signed bin under the name of another, and so hides projects.

One key signs all bins. If there are many, the snapshot has no digests of them, and TUF does not
write a role's name into it.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from packaging.utils import NormalizedName

from securepip.errors import RepositoryStateError, SecurepipError, VerificationError
from securepip.formats.layout import file_target, page_target
from securepip.signing.publish import create as creating
from securepip.signing.publish.accounted import check_own
from securepip.signing.publish.refresh import refresh
from securepip.signing.repository import commit, roles
from securepip.signing.repository.repository import Repository
from securepip.transport import Transport, TransportOptions
from securepip.updater import Session, checked
from securepip.updater.state import describe_names
from tests.support.hostile import HostileServer, serve_hostile
from tests.support.machine import Machine
from tests.support.repositories import MadeRepository, make_repository
from tests.support.wheels import make_wheel

APP, LIB = NormalizedName("app"), NormalizedName("lib")
MANY = 3000
"""A number of expected files that makes 512 bins."""


def build(folder: Path) -> MadeRepository:
    """Make a repository of ``app`` 1.0, ``app`` 2.0, which requires ``lib``, and ``lib`` 1.0.

    Its snapshot has no lengths of bins, because another bin can have the same length.
    """
    made = make_repository(
        folder / "repository",
        make_wheel(folder / "built", "app", "1.0"),
        make_wheel(folder / "built", "app", "2.0", requires=["lib"]),
        make_wheel(folder / "built", "lib", "1.0"),
        expected_files=MANY,
    )
    repository = made.repository
    with repository.lock():  # an empty bin of the same version
        name = empty_bin(repository)
        repository.sign({name: repository.roles().role(name)})
        for listed, meta in repository.roles().snapshot.signed.meta.items():
            if listed.startswith("bin-"):
                meta.length = None
        repository.sign({})
    return made


def build_unnamed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> MadeRepository:
    """The same, without names in the roles, as other tools and earlier versions make it."""
    with monkeypatch.context() as patched:
        patched.setattr(commit, "name_role", lambda role, name, repository: None)
        patched.setattr(creating, "ALL_ROLES", None)
        return build(folder)


def empty_bin(repository: Repository) -> str:
    current = repository.roles()
    used = {current.bin_of(page_target(each)) for each in (APP, LIB)}
    free = (each for each in current.bin_names() if each not in used)
    return next(each for each in free if not current.role(each).signed.targets)


def file_of(repository: Repository, name: str) -> str:
    return f"{repository.roles().meta(name).version}.{name}.json"


def swap(made: MadeRepository, server: HostileServer, other: str) -> None:
    """Serve another bin of the same version in place of the one that has ``lib``."""
    repository = made.repository
    hidden = file_of(repository, repository.roles().bin_of(page_target(LIB)))
    served = file_of(repository, other)
    assert hidden.partition(".")[0] == served.partition(".")[0]
    assert hidden != served
    data = (made.folder / "metadata" / served).read_bytes()
    server.alter(f"metadata/{hidden}", lambda _: data)


@contextmanager
def client(made: MadeRepository, url: str, state: Path) -> Iterator[Session]:
    with Transport(TransportOptions(retries=0)) as transport:
        yield Session("made", f"{url}metadata/", state, transport, made.root.read_bytes())


@pytest.mark.parametrize("other", ["empty", "filled"])
def test_another_bin_in_place_of_its_own_hides_no_project(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, other: str
) -> None:
    made = build(tmp_path)
    current = made.repository.roles()
    name = empty_bin(made.repository) if other == "empty" else current.bin_of(page_target(APP))
    with serve_hostile(made.folder) as server:
        swap(made, server, name)
        with monkeypatch.context() as unchecked, client(made, server.url, tmp_path / "a") as fooled:
            unchecked.setattr(checked, "check_role", lambda *arguments: None)
            assert fooled.target(page_target(LIB)) is None
        # Also if an earlier version has kept the swapped bin.
        for state in ("a", "b"):
            with client(made, server.url, tmp_path / state) as session:
                assert session.target(page_target(APP)) is not None
                for _ in range(2):
                    with pytest.raises(VerificationError, match=r"served as the role 'bin-"):
                        session.target(page_target(LIB))
        server.honest()
        for state in ("a", "b"):
            with client(made, server.url, tmp_path / state) as session:
                assert session.target(page_target(LIB)) is not None


def test_an_install_whose_dependency_a_mirror_hides_ends_with_3_and_installs_nothing(
    machine: Machine, tmp_path: Path
) -> None:
    made = build(tmp_path)
    with serve_hostile(made.folder) as server:
        machine.trust(made, server.url)
        swap(made, server, empty_bin(made.repository))
        done = machine.install("app")
    assert done.code == 3, done.err
    assert machine.version_of("app") is None


def test_a_bin_of_another_repository_with_the_same_online_key_is_refused(tmp_path: Path) -> None:
    production = build(tmp_path / "production")
    keys = production.repository.keys
    roles_of = production.repository.roles()
    online = keys.uri(roles_of.holders(empty_bin(production.repository)).keyids[0])
    assert online is not None
    staging = creating.create(
        tmp_path / "staging",
        expected_files=MANY,
        offline_keys=tmp_path / "staging.keys",
        online_key_uri=online,
    ).repository
    name = production.repository.roles().bin_of(page_target(LIB))
    with staging.lock():
        while staging.roles().meta(name).version < production.repository.roles().meta(name).version:
            staging.sign({name: staging.roles().role(name)})
    file = file_of(staging, name)
    data = staging.storage.read(f"metadata/{file}")
    with serve_hostile(production.folder) as server:
        server.alter(f"metadata/{file}", lambda _: data)
        with (
            client(production, server.url, tmp_path / "state") as session,
            pytest.raises(VerificationError, match="was signed for the repository"),
        ):
            session.target(page_target(LIB))


def test_whoever_made_a_repository_a_bin_with_what_belongs_elsewhere_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = build_unnamed(tmp_path, monkeypatch)
    with serve_hostile(made.folder) as server:
        swap(made, server, made.repository.roles().bin_of(page_target(APP)))
        with (
            client(made, server.url, tmp_path / "a") as session,
            pytest.raises(VerificationError, match="does not belong there"),
        ):
            session.target(page_target(LIB))
        # An empty bin without a name could be any bin: `trust show` and the documents say so.
        server.honest()
        swap(made, server, empty_bin(made.repository))
        with client(made, server.url, tmp_path / "b") as session:
            assert session.naming.named is None
            assert session.target(page_target(LIB)) is None


def test_of_few_bins_the_snapshot_gives_the_digests_and_of_many_the_lengths(
    tmp_path: Path,
) -> None:
    for files, pinned in ((10, True), (MANY, False)):
        made = make_repository(tmp_path / str(files), expected_files=files)
        current = made.repository.roles()
        for name in current.bin_names():
            meta = current.meta(name)
            path = made.folder / "metadata" / f"{meta.version}.{name}.json"
            assert meta.length == path.stat().st_size
            assert bool(meta.hashes) == pinned


def test_a_repository_of_an_earlier_version_gets_names_that_nobody_takes_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = build_unnamed(tmp_path, monkeypatch)
    old = tmp_path / "old"
    shutil.copytree(made.folder, old)
    with serve_hostile(made.folder) as server:
        state = tmp_path / "state"
        refresh(made.repository)
        assert set(made.repository.roles().unnamed()) == {"targets", "bins", "claimed"}
        with client(made, server.url, state) as session:
            assert session.naming.named is None
        assert "hide projects" in describe_names(state)
        signed = refresh(made.repository, offline=True).signed
        assert {"targets", "bins", "claimed"} <= set(signed)
        assert not any(name.startswith("bin-") for name in signed)
        with client(made, server.url, state) as session:
            assert session.naming.named == "all"
            assert "every role says its name" in describe_names(state)
            assert session.target(page_target(LIB)) is not None
        # All roles have names now.
        assert refresh(made.repository, offline=True).signed == ()
        # If the snapshot has new keys, clients forget the snapshot that they had: then only the
        # promise of names that this client has seen tells the older `targets` from the current one.
        for forgotten in (*state.glob("*.json"),):
            if forgotten.name != "root.json":
                forgotten.unlink()
        server.folder = old
        with (
            client(made, server.url, state) as session,
            pytest.raises(VerificationError, match="with no name of a role"),
        ):
            session.target(page_target(LIB))
        with client(made, server.url, tmp_path / "another") as session:
            assert session.target(page_target(LIB)) is not None


def test_who_pins_a_later_root_learns_the_name_of_the_repository_from_the_offline_keys(
    tmp_path: Path,
) -> None:
    made = build(tmp_path)
    with made.repository.lock():
        made.repository.sign_root()
    later = replace(made, root=made.folder / "metadata" / "2.root.json")
    with serve_hostile(made.folder) as server:
        for _ in range(2):
            with client(later, server.url, tmp_path / "state") as session:
                assert session.target(page_target(LIB)) is not None
                assert session.naming.repository == made.root_sha256
        # If the file of the promise cannot be read, the client stops.
        promise = tmp_path / "state" / "names-of-roles"
        promise.write_bytes(promise.read_bytes().replace(b"all", b"any"))
        with (
            client(later, server.url, tmp_path / "state") as session,
            pytest.raises(SecurepipError, match="cannot be read"),
        ):
            session.refresh()


@pytest.mark.parametrize("named", [True, False])
def test_nobody_signs_on_top_of_a_bin_that_was_swapped_on_the_signers_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, named: bool
) -> None:
    made = build(tmp_path) if named else build_unnamed(tmp_path, monkeypatch)
    repository = made.repository
    hidden = file_of(repository, repository.roles().bin_of(page_target(LIB)))
    other = empty_bin(repository) if named else repository.roles().bin_of(page_target(APP))
    metadata = made.folder / "metadata"
    shutil.copyfile(metadata / file_of(repository, other), metadata / hidden)
    wheel = make_wheel(tmp_path / "built", "lib", "2.0")
    with Repository.open(made.folder) as opened, monkeypatch.context() as unchecked:
        unchecked.setattr(roles, "check_role", lambda *arguments: None)
        assert opened.roles().target(page_target(LIB)) is None
        with pytest.raises(RepositoryStateError, match="was not signed by this repository"):
            check_own(opened)
    with Repository.open(made.folder) as opened:
        before = MadeRepository(
            made.folder, opened, made.root, made.root_sha256, made.online_keys, made.offline_keys
        )
        with pytest.raises(RepositoryStateError, match="bin-"):
            before.add(wheel)


def test_what_a_killed_run_signed_never_passes_for_what_was_made_current(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = build(tmp_path)
    repository = made.repository
    path = file_target(LIB, "lib-2.0-py3-none-any.whl")
    name = repository.roles().bin_of(path)
    killed = make_wheel(tmp_path / "killed", "lib", "2.0", files={"lib/evil.py": ""})
    with monkeypatch.context() as patched:
        patched.setattr(commit.Committer, "renew_timestamp", _killed)
        with pytest.raises(KeyboardInterrupt):
            made.add(killed)
    before = repository.roles().meta(name).version
    left = made.folder / "metadata" / f"{before + 1}.{name}.json"
    assert left.exists()
    with repository.ledger.connection as connection:
        connection.execute("DELETE FROM signed WHERE filename LIKE 'lib-2.0%'")
    shutil.rmtree(made.folder / "packages" / "lib")
    made.add(*(make_wheel(tmp_path / "built", "lib", version) for version in ("1.0", "2.0")))
    current = made.folder / "metadata" / file_of(repository, name)
    data = left.read_bytes()
    with serve_hostile(made.folder) as server:
        server.alter(f"metadata/{current.name}", lambda _: data)
        with (
            client(made, server.url, tmp_path / "state") as session,
            pytest.raises(VerificationError),
        ):
            session.target(path)


def _killed(*arguments: object, **options: object) -> None:
    raise KeyboardInterrupt
