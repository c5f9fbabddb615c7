"""pip installs the resolver's choice, whatever is installed already, and chooses nothing itself."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.machine import Machine
from tests.support.repositories import MadeRepository
from tests.support.wheels import make_wheel


def _offer(made: MadeRepository, folder: Path) -> None:
    made.add(
        make_wheel(folder, "sock", "2.0", ["extra-lib; extra == 'more'"], extras=["more"]),
        make_wheel(folder, "extra-lib", "1.0"),
        make_wheel(folder, "local", "1.0"),
        make_wheel(folder, "local", "1.0+cpu"),
    )


@pytest.mark.parametrize(
    "asked",
    [
        ("sock[more]>=2", "local!=1.0+cpu"),
        ("sock[more]~=2.0", "local===1.0"),
    ],
)
def test_extras_and_other_local_versions_of_what_is_installed_come_as_with_pip(
    machine: Machine,
    made: MadeRepository,
    tmp_path: Path,
    empty_environment: Path,
    asked: tuple[str, ...],
) -> None:
    folder = tmp_path / "new"
    _offer(made, folder)
    machine.trust(made, str(made.folder))
    (tmp_path / "plain").mkdir()
    plain = Machine(tmp_path / "plain", empty_environment)
    for words in (("sock", "local==1.0+cpu"), asked):
        assert plain.pip("install", "--no-index", "--find-links", folder, *words).code == 0
        done = machine.install(*words)
        assert done.code == 0, done.err
    assert machine.freeze() == plain.freeze()
    assert "extra-lib==1.0" in machine.freeze()
    assert "local==1.0" in machine.freeze()


def test_what_an_install_breaks_is_said_in_pips_words(
    machine: Machine, made: MadeRepository, tmp_path: Path, empty_environment: Path
) -> None:
    folder = tmp_path / "new"
    needs = ["breaks<2", "gone; extra == 'x'", "never; python_version < '3'"]
    made.add(
        make_wheel(folder, "needy", "1.0", needs),
        make_wheel(folder, "breaks", "1.0"),
        make_wheel(folder, "breaks", "2.0"),
        make_wheel(folder, "forced", "1.0", ["missing>=1"]),
    )
    machine.trust(made, str(made.folder))
    (tmp_path / "plain").mkdir()
    plain = Machine(tmp_path / "plain", empty_environment)
    commands = [("needy",), ("--no-deps", "forced"), ("breaks==2.0",)]
    for words in commands:
        expected = plain.pip("install", "--no-index", "--find-links", folder, *words)
        found = machine.install(*words)
        assert (found.code, expected.code) == (0, 0)
    broken = [line.strip() for line in found.err.splitlines() if "needy" in line]
    assert broken == [line for line in expected.err.splitlines() if "needy" in line] != []
    assert "source of the following dependency conflicts" in found.err
    assert "breaks" not in machine.install("--no-warn-conflicts", "-U", "breaks").err
