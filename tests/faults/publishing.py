"""Scenes of users who sign: a repository, its keys and its ledger."""

from __future__ import annotations

import shutil
from datetime import datetime, timedelta, timezone
from pathlib import Path
from unittest import mock

from packaging.utils import NormalizedName

from securepip.signing.publish import refresh
from securepip.signing.publish.accounted import check_own
from securepip.signing.repository import commit
from securepip.signing.repository.repository import Repository
from tests.faults.scenes import Scene
from tests.signing.clients import fetch_everything, read_plainly
from tests.signing.test_recovery import attack
from tests.support.machine import Finished
from tests.support.maintainers import Maintainers, claim
from tests.support.repositories import MadeRepository, make_repository
from tests.support.wheels import make_wheel

APP = NormalizedName("app")
Signed = tuple[list[str], list[str]]


class _Signing(Scene):
    """A command of ``repo``. A python-tuf client checks the repository after each run."""

    gone: frozenset[str] = frozenset()

    def prepare(self) -> None:
        self.made = self.make_repository("repository", expected_files=1)
        self.prepare_more(self.made)
        self.made.repository.ledger.close()
        self.old = self.signed()
        self.plain = read_plainly(self.made.folder)

    def prepare_more(self, made: MadeRepository) -> None:
        """Prepare what the command needs besides a repository."""

    def learn(self) -> None:
        """Note what is signed after a run without a fault."""
        self.new, self.new_plain = self.signed(), read_plainly(self.made.folder)

    def signed(self, client: str = "client") -> Signed:
        """The signed targets, as a client sees them, and the keys of ``app`` if it is claimed."""
        paths = sorted(fetch_everything(self.made.folder, self.work / client))
        with Repository.open(self.made.folder) as repository:
            found = repository.roles().claim(APP)
        return paths, list(found.holders.keyids) if found else []

    def look(self) -> None:
        assert self.follow() in (self.old, self.new)
        assert read_plainly(self.made.folder) <= self.plain | self.new_plain
        with Repository.open(self.made.folder) as repository:
            assert "app-1.0-py3-none-any.whl" in repository.ledger.known(APP)
            self.check_log(repository)

    def follow(self) -> Signed:
        """The targets that the client sees, which has seen all earlier states."""
        return self.signed()

    def check_log(self, repository: Repository) -> None:
        """Check that the current metadata is that of the log."""
        check_own(repository)

    def look_at_end(self) -> None:
        assert self.signed() == self.new
        assert read_plainly(self.made.folder) == self.new_plain
        with Repository.open(self.made.folder) as repository:
            check_own(repository)
        assert not list((self.made.folder / "state" / "unfinished").glob("*"))

    @property
    def but(self) -> tuple[Path, ...]:
        return (self.work / "client", self.work / "index")


class Add(_Signing):
    """``repo add``."""

    def prepare_more(self, made: MadeRepository) -> None:
        self.files = [
            make_wheel(self.work / "new", "app", "2.0"),
            make_wheel(self.work / "new", "more", "1.0"),
        ]

    def run(self) -> Finished:
        return self.machine.run("repo", "add", self.made.folder, *self.files)


class AddChanged(_Signing):
    """``repo add`` of other bytes under a known file name."""

    code = 1

    def prepare_more(self, made: MadeRepository) -> None:
        code = {"app/__init__.py": "VERSION = 'evil'\n"}
        self.evil = make_wheel(self.work / "new", "app", "1.0", files=code)

    def run(self) -> Finished:
        return self.machine.run("repo", "add", self.made.folder, self.evil)

    def again(self) -> Finished:
        wheel = make_wheel(self.work / "newer", "app", "1.1")
        return self.machine.run("repo", "add", self.made.folder, wheel)

    def look_at_end(self) -> None:
        assert "app-1.1-py3-none-any.whl" in read_plainly(self.made.folder)


class Refresh(_Signing):
    """``repo refresh`` at the half-life of timestamp and snapshot."""

    def run(self) -> Finished:
        moment = datetime.now(timezone.utc).replace(microsecond=0) + timedelta(days=4)
        with (
            mock.patch.object(commit, "now", lambda: moment),
            mock.patch.object(refresh, "now", lambda: moment),
        ):
            return self.machine.run("repo", "refresh", self.made.folder)


class Sync(_Signing):
    """``repo sync``: ``app`` has a new file in its index, and ``more`` is new.

    If the page of a project cannot be read, an error names it, and the others are signed.
    """

    said = ("ERROR", "WARNING: app: ", "WARNING: lib: ", "WARNING: more: ")

    def prepare(self) -> None:
        index = self.make_repository("index")
        self.bench.serve(index.folder)
        self.made = make_repository(self.work / "repository", expected_files=1)
        done = self.sync("app", "lib")
        assert done.code == 0, done.err
        self.change(index)
        index.repository.ledger.close()
        self.made.repository.ledger.close()
        self.old = self.signed()
        self.plain = read_plainly_overlay(self.made.folder)

    def change(self, index: MadeRepository) -> None:
        """Change the index."""
        index.add(
            make_wheel(self.work / "built", "app", "2.0"),
            make_wheel(self.work / "built", "more", "1.0"),
        )

    def sync(self, *projects: str) -> Finished:
        url = f"{self.bench.url}simple/"
        return self.machine.run("repo", "sync", self.made.folder, "--upstream", url, *projects)

    def run(self) -> Finished:
        return self.sync("app", "lib", "more")

    def signed(self, client: str = "client") -> Signed:
        return sorted(fetch_everything(self.made.folder, self.work / client, overlay=True)), []

    def learn(self) -> None:
        self.new, self.new_plain = self.signed(), read_plainly_overlay(self.made.folder)

    def look(self) -> None:
        states = [paths for paths, _ in (self.follow(), self.old, self.new)]
        for project in ("app", "lib", "more"):
            seen, *whole = ([path for path in paths if f"/{project}/" in path] for paths in states)
            assert seen in whole
        assert read_plainly_overlay(self.made.folder) <= self.plain | self.new_plain
        with Repository.open(self.made.folder) as repository:
            check_own(repository)
            assert "app-1.0-py3-none-any.whl" in repository.ledger.known(APP)

    def look_at_end(self) -> None:
        assert self.signed() == self.new
        assert read_plainly_overlay(self.made.folder) == self.new_plain


class SyncChanged(Sync):
    """``repo sync`` of an index that has other bytes under a signed file name."""

    code = 1

    def change(self, index: MadeRepository) -> None:
        code = {"app/__init__.py": "VERSION = 'evil'\n"}
        built = [
            make_wheel(self.work / "evil", "app", "1.0", files=code),
            make_wheel(self.work / "built", "lib", "1.0"),
        ]
        shutil.rmtree(self.work / "index")
        shutil.rmtree(self.work / "index.keys")
        make_repository(self.work / "index", *built).repository.ledger.close()

    def run(self) -> Finished:
        return self.sync("app", "lib")

    def again(self) -> Finished:
        return self.sync("lib")


class Accept(_Signing):
    """``repo accept`` of a new file of ``app``, which is claimed."""

    def prepare_more(self, made: MadeRepository) -> None:
        alice = Maintainers.of(1)
        claim(made, "app", alice)
        wheel = make_wheel(self.work / "built", "app", "2.0")
        self.transaction = alice.release(made, "app", self.work / "requests", wheel)

    def run(self) -> Finished:
        return self.machine.run("repo", "accept", self.made.folder, self.transaction)


class Rotate(_Signing):
    """``repo rotate online``."""

    role = "online"

    def run(self) -> Finished:
        return self.machine.run(
            "repo", "rotate", self.made.folder, self.role, "--keys", self.made.online_keys,
            "--offline-keys", self.made.offline_keys, "--no-input",
        )  # fmt: skip

    def prepare_more(self, made: MadeRepository) -> None:
        self.root = self.root_version()

    def root_version(self) -> int:
        """The version of the root that clients reach."""
        with Repository.open(self.made.folder) as repository:
            return repository.roles().root.signed.version

    def look(self) -> None:
        super().look()
        assert self.root_version() >= self.root

    def look_at_end(self) -> None:
        super().look_at_end()
        assert self.root_version() > self.root
        assert not (self.made.folder / "state" / "pending").exists()


class Recover(Rotate):
    """``repo recover``, after a thief has signed. The log is not valid before its end."""

    def follow(self) -> Signed:
        """The targets for a new client: one that has seen the thief's state needs the last step."""
        shutil.rmtree(self.work / "new-client", ignore_errors=True)
        return self.signed("new-client")

    def check_log(self, repository: Repository) -> None:
        if self.follow() == self.new:
            check_own(repository)

    def prepare_more(self, made: MadeRepository) -> None:
        super().prepare_more(made)
        for name in ("metadata", "simple", "packages"):
            shutil.copytree(made.folder / name, self.work / "good" / name)
        attack(made, self.work)

    def run(self) -> Finished:
        return self.machine.run(
            "repo", "recover", self.made.folder, "--good", self.work / "good", "--yes",
            "--keys", self.made.online_keys, "--offline-keys", self.made.offline_keys, "--no-input",
        )  # fmt: skip


def read_plainly_overlay(folder: Path) -> set[str]:
    """The bytes of the pages that plain clients read."""
    return {f"{path.parent.name} {path.read_text()}" for path in folder.glob("simple/*/index.html")}
