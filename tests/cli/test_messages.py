"""The messages about failures, compared with the texts that are kept beside the tests.

``messages/NAME.txt`` is what standard error holds, after the exit code. With the variable
``WRITE_MESSAGES`` set the test writes them, for a person to read before they are kept.
"""

from __future__ import annotations

import datetime as dates
import errno
import os
import re
from collections.abc import Callable, Iterator
from email.utils import format_datetime
from pathlib import Path
from types import SimpleNamespace
from unittest import mock
from urllib.parse import urlsplit

import pytest
from tuf.ngclient._internal import trusted_metadata_set

from securepip.index.received import Received
from securepip.signing.publish.remove import remove
from securepip.updater import session
from tests.support.hostile import HostileServer, flip_byte, serve_hostile
from tests.support.machine import Finished, Machine, like_anybody
from tests.support.ports import closed_port
from tests.support.repositories import MadeRepository
from tests.support.wheels import make_wheel

MESSAGES = Path(__file__).with_name("messages")


@pytest.fixture
def company(machine: Machine, made: MadeRepository) -> Iterator[HostileServer]:
    """A server for ``made``, and a machine that trusts it and has seen it."""
    with serve_hostile(made.folder) as server:
        machine.trust(made, server.url, "company")
        yield server


def in_days(days: int, machine: Machine) -> Finished:
    """An install on a machine whose clock is so many days ahead."""

    class Later(dates.datetime):
        @classmethod
        def now(cls, tz: dates.tzinfo | None = None) -> dates.datetime:  # type: ignore[override]
            return dates.datetime.now(tz) + dates.timedelta(days=days)

    # The clock of the whole machine is not the test's to change.
    clock = SimpleNamespace(datetime=Later, timezone=dates.timezone)
    with (
        mock.patch.object(trusted_metadata_set, "datetime", clock),
        mock.patch.object(session, "datetime", Later),
    ):
        return machine.install("app")


def expired(machine: Machine, made: MadeRepository, company: HostileServer) -> Finished:
    later = dates.datetime.now(dates.timezone.utc) + dates.timedelta(days=30)
    company.date = format_datetime(later)
    return in_days(30, machine)


def clock_wrong(machine: Machine, made: MadeRepository, company: HostileServer) -> Finished:
    return in_days(3650, machine)


def tampered(machine: Machine, made: MadeRepository, company: HostileServer) -> Finished:
    company.alter(r"packages/.*\.whl", flip_byte)
    return machine.install("other")


def offline(machine: Machine, made: MadeRepository, company: HostileServer) -> Finished:
    with serve_hostile(made.folder) as server:
        machine.trust(made, server.url, "gone")
    with closed_port(urlsplit(server.url).port or 0):
        return machine.install("--repository", "gone", "app")


def server_slow(machine: Machine, made: MadeRepository, company: HostileServer) -> Finished:
    company.delay = 1.5
    return machine.install("--timeout", "0.5", "app")


def wrong_root(machine: Machine, made: MadeRepository, company: HostileServer) -> Finished:
    return machine.run("trust", "add", "another", company.url, "--root-sha256", "0" * 64)


def unknown_project(machine: Machine, made: MadeRepository, company: HostileServer) -> Finished:
    return machine.install("nosuch")


def dependency_nobody_signed(
    machine: Machine, made: MadeRepository, company: HostileServer
) -> Finished:
    made.add(make_wheel(machine.folder, "needy", "1.0", requires=["ghost"]))
    return machine.install("needy")


def no_solution(machine: Machine, made: MadeRepository, company: HostileServer) -> Finished:
    made.add(make_wheel(machine.folder, "needy", "1.0", requires=["lib==1.0"]))
    made.add(make_wheel(machine.folder, "lib", "2.0"))
    return machine.install("needy", "lib==2.0")


def disk_full(machine: Machine, made: MadeRepository, company: HostileServer) -> Finished:
    path = str(machine.folder / "cache" / "store" / "incoming")
    # Only an administrator can have a small disk; tests/machine fills one where it can.
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path)
    with mock.patch.object(Received, "distribution", side_effect=full):
        return machine.install("other")


def revoked(machine: Machine, made: MadeRepository, company: HostileServer) -> Finished:
    remove(made.repository, "app==2.0")
    return machine.install("app==2.0")


def read_only_home(machine: Machine, made: MadeRepository, company: HostileServer) -> Finished:
    machine.before = like_anybody()
    made.add(make_wheel(machine.folder, "app", "3.0"))
    state = machine.folder / "data" / "trust" / "company" / "metadata"
    folders = [state, *(each for each in state.rglob("*") if each.is_dir())]
    for folder in folders:
        folder.chmod(0o500)
    try:
        return machine.process("install", "--python", machine.environment, "app")
    finally:
        for folder in folders:
            folder.chmod(0o700)


Failure = Callable[[Machine, MadeRepository, HostileServer], Finished]

FAILURES: dict[Failure, int] = {
    expired: 3,
    clock_wrong: 3,
    tampered: 3,
    offline: 1,
    server_slow: 1,
    wrong_root: 3,
    unknown_project: 1,
    dependency_nobody_signed: 1,
    no_solution: 1,
    disk_full: 1,
    revoked: 1,
    read_only_home: 1,
}


@pytest.mark.parametrize("failure", FAILURES, ids=lambda failure: failure.__name__)
def test_each_failure_says_what_happened_what_it_may_mean_and_what_to_do(
    machine: Machine, made: MadeRepository, company: HostileServer, failure: Failure
) -> None:
    done = failure(machine, made, company)
    assert done.code == FAILURES[failure], done.err
    told = f"exit code {done.code}\n{same_everywhere(done, machine)}"
    path = MESSAGES / f"{failure.__name__}.txt"
    if "WRITE_MESSAGES" in os.environ:
        path.write_text(told)
    assert told == path.read_text()
    assert "defect" not in told
    assert "Traceback" not in told


def same_everywhere(done: Finished, machine: Machine) -> str:
    """The message without parts that differ between runs."""
    # What conflicts is said on standard output, as by pip.
    conflict = re.search(r"(?s)\n(The conflict is caused by:.*)", done.out)
    text = done.err + (conflict[1] if conflict else "")
    text = text.replace(str(machine.folder), "/home/you")
    text = re.sub(r"127\.0\.0\.1:\d+", "packages.example.org", text)
    text = re.sub(r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d(:\d\d)?( UTC)?", "DATE", text)
    text = re.sub(r"arrived .* ago", "arrived AGO", text)
    text = re.sub(r"\d+ bytes in \d+ seconds", "N bytes in N seconds", text)
    text = re.sub(r"[0-9a-f]{64}", lambda it: it[0] if set(it[0]) == {"0"} else "SHA256", text)
    return re.sub(r"port=\d+", "port=PORT", text)
