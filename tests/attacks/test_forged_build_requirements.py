"""A forged build requirement: with pip, its code runs before anything is installed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from securepip.formats.digests import sha256_of
from securepip.installer import sdists
from securepip.resolver import parse_requirement
from tests.attacks.refusals import assert_refused
from tests.support.builds import MAKER_CODE, make_built, make_maker
from tests.support.hostile import HostileServer, serve_hostile
from tests.support.machine import Machine
from tests.support.repositories import MadeRepository

_WHEEL = "maker-1.0-py3-none-any.whl"


@pytest.fixture
def served(made: MadeRepository, tmp_path: Path) -> Iterator[HostileServer]:
    """A server for a repository with the sdist ``built``, whose build backend is ``maker``."""
    made.add(make_built(tmp_path / "honest"), make_maker(tmp_path / "honest"))
    with serve_hostile(made.folder) as server:
        yield server


def test_pip_runs_a_forged_build_requirement_and_securepip_installs_and_runs_nothing(
    machine: Machine, made: MadeRepository, served: HostileServer, tmp_path: Path
) -> None:
    ran = tmp_path / "ran"
    evil_code = f"open({json.dumps(str(ran))}, 'w').close()\n{MAKER_CODE}"
    evil = make_maker(tmp_path / "evil", code=evil_code)
    served.forge("maker", _WHEEL, evil.read_bytes())

    fooled = machine.pip_install(f"{served.url}simple/", "built")
    assert fooled.code == 0, fooled.err
    assert ran.exists()
    assert machine.version_of("built") == "1.0"
    machine.remove("built")
    ran.unlink()

    machine.trust(made, served.url)
    before = machine.installed()
    assert_refused(machine.install("built"), served, "simple/maker/.*")
    assert not ran.exists()
    assert machine.installed() == before

    served.honest()
    assert machine.install("built").code == 0
    assert not ran.exists()
    assert machine.version_of("built") == "1.0"


@pytest.mark.parametrize("written", ["maker @ {url}", "maker @ {url}#sha256={sha256}"])
def test_an_author_cannot_have_a_build_run_what_nobody_signed(
    machine: Machine,
    made: MadeRepository,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    written: str,
) -> None:
    ran = tmp_path / "ran"
    evil_code = f"open({json.dumps(str(ran))}, 'w').close()\n{MAKER_CODE}"
    evil = make_maker(tmp_path / "evil", code=evil_code)
    named = written.format(url=evil.as_uri(), sha256=sha256_of(evil.read_bytes()))
    made.add(make_built(tmp_path / "signed", requires=named))
    machine.trust(made, str(made.folder))

    done = machine.install("built")
    assert done.code == 1
    assert "names a direct URL" in done.err
    assert not ran.exists()

    # The counterpart: without the check, it runs.
    monkeypatch.setattr(sdists, "_build_requirement", parse_requirement)
    assert machine.install("built").code == 0
    assert ran.exists()


def test_what_a_build_needs_is_compiled_once_and_without_a_cache_nothing_is_kept(
    machine: Machine, made: MadeRepository, served: HostileServer
) -> None:
    machine.trust(made, served.url)
    kept = machine.folder / "cache" / "byte-code"
    done = machine.install("built", "--no-cache-dir")
    assert done.code == 0, done.err
    assert not kept.exists()
    machine.remove("built")
    done = machine.install("built")
    assert done.code == 0, done.err
    assert len(list(kept.iterdir())) == 2  # of what is built, and of what builds it
