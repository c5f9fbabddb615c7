"""The state of a repository in a database: the same as in a file, and for many machines."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import psycopg
import pytest
from packaging.specifiers import SpecifierSet
from packaging.utils import NormalizedName
from packaging.version import Version

from securepip.cli import main
from securepip.engine import database
from securepip.engine.database import Pool, connect
from securepip.engine.state import DatabaseSite, TableLines
from securepip.errors import RepositoryStateError
from securepip.formats.digests import Sha256, sha256_of
from securepip.signing.overlay.follow.walk import Need, Walk, Want, Wish
from securepip.signing.overlay.memory import Facts, Memory, PageState, Upstream
from securepip.signing.overlay.upstream.interface import Reading
from securepip.signing.publish.add import add
from securepip.signing.publish.remove import remove
from securepip.signing.publish.status import status
from securepip.signing.repository import commit
from securepip.signing.repository.commit import Committer
from securepip.signing.repository.repository import Repository
from securepip.signing.repository.site import FolderSite
from securepip.signing.repository.state.connection import Connection
from securepip.signing.repository.state.known import RoleFacts
from securepip.signing.repository.state.ledger import Ledger
from securepip.signing.repository.state.lines import FileLines
from securepip.signing.repository.state.log import Anchor, Log, Reason, SignedRole
from securepip.signing.repository.state.schema import STEPS
from securepip.signing.repository.state.sqlite import open_sqlite
from securepip.signing.repository.state.tokens import Tokens
from tests.engine.made import Made
from tests.signing.clients import updater
from tests.support.postgres import PASSWORD, Postgres
from tests.support.wheels import make_wheel

A, B = NormalizedName("a"), NormalizedName("B".lower())
B_C = frozenset([B, NormalizedName("c")])
ONE, TWO = Sha256("1" * 64), Sha256("2" * 64)


def ledger_story(connection: Connection) -> object:
    """The results of all methods of a ledger."""
    ledger = Ledger(connection)
    ledger.record([(A, "a-1.tar.gz", ONE), (B, "b-1.tar.gz", TWO)])
    ledger.record([(A, "a-1.tar.gz", ONE)])
    for digest in (ONE, TWO):
        ledger.refuse(A, "a-1.tar.gz", digest)
    accepted = ledger.accept_change("a-1.tar.gz")
    ledger.withdraw(A, version=Version("1"))
    ledger.withdraw(B)
    ledger.restore(B)
    ledger.begin([B, A, B])
    ledger.begin_partial([A, B])
    ledger.complete([B])
    ledger.want_list(5.5)
    ledger.want_list(6.5)
    ledger.set_current(1, 1)
    ledger.set_current(2, 3)
    answers = [
        accepted,
        ledger.known(A),
        ledger.signed_as("b-1.tar.gz"),
        ledger.withdrawn(A).covers("a-1.tar.gz"),
        ledger.is_withdrawn(B),
        ledger.unfinished(),
        ledger.partial(),
        ledger.list_due(),
        ledger.current(),
    ]
    ledger.finish()
    ledger.list_written()
    return [*answers, ledger.unfinished(), ledger.list_due()]


def known_story(connection: Connection) -> object:
    known = Ledger(connection).lookup
    before = known.snapshot(), known.counts(), known.projects()
    facts = {
        name: RoleFacts(name, 1, number + 0.25, {project: ONE}, 2)
        for number, (name, project) in enumerate(
            [("bin-0", A), ("bin-1", NormalizedName("a.b")), ("project.b", B)]
        )
    }
    read = known.follow("s1", dict.fromkeys(facts, 1), facts.__getitem__)
    known.apply("s2", [RoleFacts("bin-0", 2, 9.5, {A: TWO}, 3), RoleFacts("bin-1", 7, 8.5, {}, 0)])
    again = known.rebuild("s2", {"bin-1": 1}, facts.__getitem__)
    return before, read, again, known.counts(), known.projects(), [*known.bins_until(9.0)]


def tokens_story(connection: Connection) -> object:
    tokens = Tokens(connection)
    made, text = tokens.create([A, B], "two")
    every, _ = tokens.create(None)
    found = tokens.find(text)
    assert found == made
    tokens.mark_used([made.id])
    assert tokens.revoke(every.id) and not tokens.revoke(every.id)
    return [(each.projects, each.note, each.used is None) for each in tokens.all()]


def overlay_story(connection: Connection) -> object:
    memory = Memory(connection)
    memory.keep_upstream(Upstream(("https://z.example.org", "https://a.example.org"), named=True))
    memory.keep_projects([B, A, B])
    memory.forget_project(B)
    for page in ("", "p"):
        memory.keep_state(A, PageState("s", (Reading("u", "f", "v", serial=3),), page, 4.5))
    memory.keep_facts(A, Facts({ONE: 5}, {ONE: None}, {ONE: ("x>1",)}), 100.0)
    memory.keep_facts(A, Facts({}, {ONE: TWO}, {TWO: ()}), 200.0)
    return [
        memory.upstream(),
        memory.state(A),
        memory.facts(A, 150.0),
        memory.recheck_at(A, [ONE], [ONE]),
        memory.forget([(A, ONE), (B, ONE)]),
        memory.state(A),
        memory.count(),
        [*memory.each_known()],
    ]


def walk_story(connection: Connection) -> object:
    """A sync that is killed once, and continues."""
    walk = Walk(connection)
    old = Want(SpecifierSet("<2"), frozenset([A]))
    # Strangers write what is wanted: longer than a key may be, and with what is no text.
    digests = [sha256_of(bytes([number])) for number in range(200)]
    odd = Want(SpecifierSet("===1\0," + ",".join(f"!={int(one, 16)}" for one in digests)), B_C)
    odder = Want(SpecifierSet(), frozenset(map(NormalizedName, digests)))
    begun = walk.begin("this", 100.0)
    named = walk.name(A, old), walk.name(A, None), walk.wants(A)
    needed = Wish(B, A, named=False, certain=False)
    walk.settle(A, [old], [Need(needed, want) for want in (old, odd, odder)])
    assert {old, odd, odder} == {*walk.wants(B)}
    walk.published()
    found = walk.waiting(), walk.next(), walk.next(), walk.again()
    again = walk.begin("this", 200.0), walk.next(), walk.next()
    walk.settle(
        B, walk.wants(B), [Need(Wish(A, B, named=False), Want(SpecifierSet(), frozenset()))]
    )
    walk.trouble(B)
    last = walk.again(), walk.wants(A), walk.wish(B), walk.begin("this", 300.0)
    walk.end()
    return [begun, named, found, again, last, walk.waiting()]


@pytest.mark.parametrize(
    "story", [ledger_story, known_story, tokens_story, overlay_story, walk_story]
)
def test_the_database_remembers_what_a_file_remembers(
    story: Callable[[Connection], object], url: str, tmp_path: Path
) -> None:
    with closing(connect(url)) as there, closing(open_sqlite(tmp_path / "file")) as here:
        assert story(there) == story(here)


def test_a_log_in_the_database_is_one(url: str, tmp_path: Path) -> None:
    with closing(connect(url)) as connection:
        for lines in (TableLines(connection, "there"), FileLines(tmp_path / "log")):
            log = Log(lines, Reason("first"))
            anchor: Anchor | None = None
            for number in range(3):
                anchor = log.append([SignedRole("timestamp", number, ONE, ("k",))], anchor)
            assert [entry.number for entry in log.entries()] == [1, 2, 3]
            _, second = [*log.after(0)][1]
            assert [entry.number for entry, _ in log.after(second)] == [3]
            with pytest.raises(RepositoryStateError, match="entry 9, which the timestamp names"):
                log.append([], Anchor(9, ONE))
            log.set_aside()
            assert log.size() == 0
            assert log.append([], None).entries == 1
        table = Log(TableLines(connection, "there"), Reason("second"))
        table.append([], None)
        connection.execute(
            "UPDATE log_line SET line = replace(line, 'first', 'other') WHERE number = 1"
        )
        with pytest.raises(RepositoryStateError, match="number 1 was changed"):
            [*table.entries()]


def test_two_machines_publish_one_after_the_other(made: Made, tmp_path: Path) -> None:
    wheels = [make_wheel(tmp_path / "built", f"p{number}", "1.0") for number in range(4)]
    errors: list[BaseException] = []

    def publish(wheel: Path) -> None:
        try:
            with made.open() as repository:
                add(repository, [wheel])
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=publish, args=(wheel,)) for wheel in wheels]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    with made.open() as repository:
        assert status(repository).projects == 4
        remove(repository, "p0")
        assert repository.projects() == ["p1", "p2", "p3"]
        repository.log.check(repository.roles().timestamp.signed)
    client = updater(made.folder, tmp_path / "client")
    assert client.get_targetinfo("packages/p1/p1-1.0-py3-none-any.whl") is not None


def test_who_loses_the_database_before_the_timestamp_has_published_nothing(
    made: Made, server: Postgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another machine may have the lock already: it went with the connection."""
    timestamp = (made.folder / "metadata" / "timestamp.json").read_bytes()
    wheel = make_wheel(tmp_path / "built", "app", "1.0")
    sign = Committer._sign

    def disconnected(self: Committer, metadata: object, delegator: object, name: str) -> bytes:
        data = sign(self, metadata, delegator, name)  # type: ignore[arg-type]
        if name == "timestamp":
            server.disconnect()
        return data

    with monkeypatch.context() as patched:
        patched.setattr(Committer, "_sign", disconnected)
        with pytest.raises(RepositoryStateError, match="cannot be used") as caught:
            add(made.repository, [wheel])
    assert PASSWORD not in str(caught.value)
    assert (made.folder / "metadata" / "timestamp.json").read_bytes() == timestamp
    with made.open() as repository:
        assert add(repository, [wheel]).projects == ("app",)


@pytest.mark.parametrize(("jump", "said"), [(-40 * 86_400, "behind"), (400 * 86_400, "ahead of")])
def test_nothing_is_signed_by_a_clock_that_has_jumped(
    jump: float, said: str, made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wheel = make_wheel(tmp_path / "built", "app", "1.0")
    timestamp = (made.folder / "metadata" / "timestamp.json").read_bytes()
    right, signing_now = database.clock, commit.now
    with monkeypatch.context() as jumped:
        jumped.setattr(database, "clock", lambda: right() + jump)
        with pytest.raises(RepositoryStateError, match=f"{said} that of the database"):
            add(made.repository, [wheel])
        # And where it jumps while something is signed.
        clocks = iter([right(), *[right() + jump] * 9])
        jumped.setattr(database, "clock", lambda: next(clocks))
        jumped.setattr(commit, "now", lambda: signing_now() + timedelta(seconds=jump))
        with pytest.raises(RepositoryStateError, match=f"{said} that of the database"):
            add(made.repository, [wheel])
    assert (made.folder / "metadata" / "timestamp.json").read_bytes() == timestamp
    assert add(made.repository, [wheel]).projects == ("app",)


def test_a_pooler_that_hands_out_connections_cannot_publish_without_the_lock(made: Made) -> None:
    with made.repository.lock():
        made.repository.ledger.connection.execute("SELECT pg_advisory_unlock_all()")
        with pytest.raises(RepositoryStateError, match="the lock of this publication is gone"):
            made.repository.sign({}, bins=[("bin-00", b"")])


def test_machines_that_begin_at_once_make_the_tables_once(url: str) -> None:
    errors: list[BaseException] = []

    def run() -> None:
        try:
            connect(url).close()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []


def columns(url: str) -> object:
    with psycopg.connect(url) as connection:
        return connection.execute(
            "SELECT table_name, column_name, data_type FROM information_schema.columns"
            " WHERE table_schema = current_schema() ORDER BY 1, 2"
        ).fetchall()


def functions(url: str) -> object:
    with psycopg.connect(url) as connection:
        return connection.execute(
            "SELECT proname FROM pg_proc WHERE pronamespace = current_schema()::regnamespace"
            " ORDER BY 1"
        ).fetchall()


def test_tables_of_every_earlier_version_become_those_of_today(
    server: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    today = server.database()
    connect(today).close()
    for done in range(1, len(STEPS)):
        url = server.database()
        with monkeypatch.context() as earlier:
            earlier.setattr(database, "STEPS", STEPS[:done])
            connect(url).close()
        assert columns(url) != columns(today)
        connect(url).close()
        assert columns(url) == columns(today)


def test_the_queue_is_brought_up_to_date_as_well(server: Postgres) -> None:
    today, url = server.database(), server.database()
    connect(today).close()
    earlier = database._queue_steps()[:-12]
    with psycopg.connect(url, autocommit=True) as connection:
        for path in earlier:
            connection.execute(path.read_bytes())
        connection.execute("CREATE TABLE securepip_schema (room TEXT PRIMARY KEY, version TEXT)")
        row = ("queue", earlier[-1].name)
        connection.execute("INSERT INTO securepip_schema VALUES (%s, %s)", row)
    assert functions(url) != functions(today)
    connect(url).close()
    assert functions(url) == functions(today)
    assert columns(url) == columns(today)


def test_tables_that_a_newer_version_made_are_left_alone(url: str) -> None:
    connect(url).close()
    with psycopg.connect(url) as connection:
        connection.execute("UPDATE securepip_schema SET version = '99' WHERE room = 'repository'")
    with pytest.raises(RepositoryStateError, match="a newer securepip"):
        connect(url)


def test_a_database_has_one_repository_and_a_folder_one_memory(
    made: Made, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    here, other = str(made.folder), str(tmp_path / "other")
    assert main(["repo", "init", other, "--database", made.url]) == 1
    assert "has a repository already" in capsys.readouterr().err
    assert not Path(other).exists()
    for command in (["status", here], ["init", here]):
        assert main(["repo", *command]) == 1
        said = " ".join(capsys.readouterr().err.split())
        assert "remembers in a database: postgresql://127.0.0.1" in said
        assert PASSWORD not in said
    assert main(["repo", "status", here, "--database", made.url]) == 0


def test_who_finds_no_repository_gives_the_connection_back(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A front end has so many: each request that failed would have taken one for ever."""
    monkeypatch.setattr(database, "_POOL_SECONDS", 2)
    pool = Pool(url, 1)
    with closing(pool):
        for number in range(3):
            where = DatabaseSite(FolderSite(tmp_path / str(number)), url, pool.connect)
            with pytest.raises(RepositoryStateError, match="there is no repository"):
                Repository.open(where)
        made = where.make()
        made.ledger.connection.execute("INSERT INTO setting VALUES (1, '')")
        made.close()
        for _ in range(3):
            with pytest.raises(RepositoryStateError, match="has a repository already"):
                where.make()


def test_a_bucket_whose_memory_is_in_a_database_is_opened_with_it_on_any_machine(
    made_in_a_bucket: Made,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    here, url = made_in_a_bucket.address, made_in_a_bucket.url
    for command in (["status", here], ["init", here]):
        assert main(["repo", *command]) == 1
        said = " ".join(capsys.readouterr().err.split())
        assert f"the repository in {here} remembers in a database: postgresql://127.0.0.1" in said
    monkeypatch.setenv("SECUREPIP_DATA_DIR", str(tmp_path / "another machine"))
    assert main(["repo", "status", here]) == 1
    assert "name that with --database" in " ".join(capsys.readouterr().err.split())
    assert main(["repo", "init", here]) == 1
    assert "is not empty" in capsys.readouterr().err
    assert main(["repo", "status", here, "--database", url]) == 0
    wheel = make_wheel(tmp_path, "app", "1.0")
    with made_in_a_bucket.open() as repository:
        add(repository, [wheel])
    client = updater(made_in_a_bucket.folder, tmp_path / "client", made_in_a_bucket.public)
    client.refresh()
    assert client.get_targetinfo(f"packages/app/{wheel.name}") is not None


@pytest.mark.parametrize(
    ("named", "said"),
    [
        ("mysql://user:secret@127.0.0.1/x", "not the address of a PostgreSQL database"),
        ("host=127.0.0.1 password=secret", "not the address of a PostgreSQL database"),
        ("host=127.0.0.1 password=secret://x", "not the address of a PostgreSQL database"),
        ("postgresql://user:secret@127.0.0.1:1/x", "cannot be used: connection failed"),
        ("postgresql://user:secret@127.0.0.1/x?nonsense=secret", "not the address of a database"),
    ],
)
def test_a_database_that_is_none_is_named_without_its_password(
    named: str, said: str, made: Made, capsys: pytest.CaptureFixture[str]
) -> None:
    for command in (["status"], ["serve", "--uploads"]):
        assert main(["repo", *command, str(made.folder), "--database", named]) in (1, 2)
        told = " ".join(capsys.readouterr().err.split())
        assert said in told
        assert "secret" not in told


def test_nothing_of_the_engine_is_imported_for_a_folder(tmp_path: Path) -> None:
    code = (
        "import sys\n"
        "for name in ('obstore', 'procrastinate', 'psycopg', 'psycopg_pool', 'sqlalchemy'):\n"
        "    sys.modules[name] = None\n"
        "from securepip.cli import main\n"
        f"where = {str(tmp_path / 'repository')!r}\n"
        "assert main(['repo', 'init', where, '--expected-files', '10']) == 0\n"
        "assert main(['repo', 'status', where]) == 0\n"
        "assert main(['repo', 'status', where, '--database', 'postgresql://x/x']) == 2\n"
    )
    environment = {**os.environ, "SECUREPIP_DATA_DIR": str(tmp_path / "data")}
    ran = subprocess.run(
        [sys.executable, "-c", code], check=False, capture_output=True, text=True, env=environment
    )
    assert ran.returncode == 0, ran.stderr
    assert "pip install '.[engine]'" in ran.stderr  # an index may have anything of that name
