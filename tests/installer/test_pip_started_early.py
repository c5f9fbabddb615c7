"""pip is started before its work is known: what it must not do before and after that."""

from __future__ import annotations

import json
import shutil
import site
from collections.abc import Callable
from pathlib import Path

import packaging
import pip as pip_package
import pytest

from securepip.errors import InstallationError
from securepip.installer import install
from securepip.interpreter.process import Pip, pip_runner
from tests.installer.conftest import hand_off, site_packages
from tests.support.indexes import serve_index
from tests.support.machine import Machine
from tests.support.wheels import make_wheel


def test_pip_that_is_never_run_ends_with_the_block_and_leaves_nothing(
    new_environment: Callable[[], Path],
) -> None:
    python = new_environment()
    before = sorted(python.parent.parent.rglob("*"))
    with Pip(python) as pip:
        pass
    assert pip._process.returncode is not None
    assert sorted(python.parent.parent.rglob("*")) == before


def test_what_pip_complains_of_is_returned_with_its_exit_code(
    new_environment: Callable[[], Path],
) -> None:
    with Pip(new_environment()) as pip:
        code, _, said = pip.run(
            ["install", "--no-index", "no-such-project"], while_running=lambda: None
        )
    assert code == 1
    assert "No matching distribution found for no-such-project" in said


def test_an_interruption_ends_pip_before_it_goes_on(new_environment: Callable[[], Path]) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    with Pip(new_environment()) as pip:
        with pytest.raises(KeyboardInterrupt):
            pip.run(["install", "--no-index", "no-such-project"], while_running=interrupt)
        assert pip._process.returncode is not None


def test_a_target_writes_no_byte_code_of_what_securepip_itself_imports(
    new_environment: Callable[[], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A path file there may put another compiler in the place of Python's."""
    python = new_environment()
    (site_packages(python) / "compiler.pth").write_text(
        "import builtins; "
        "builtins.compile = lambda text, *a, old=builtins.compile, **k: "
        "old(text + b'\\nFORGED = 1\\n' if type(text) is bytes else text, *a, **k)\n"
    )
    copy = tmp_path / "packaging"
    shutil.copytree(
        Path(packaging.__file__).parent, copy, ignore=shutil.ignore_patterns("__pycache__")
    )
    monkeypatch.setattr(packaging, "__file__", str(copy / "__init__.py"))
    monkeypatch.delenv("PYTHONDONTWRITEBYTECODE", raising=False)
    with Pip(python, asked=True, wanted=()) as pip:
        assert pip.facts()
    assert not list(copy.rglob("*.pyc"))


def test_the_pip_of_the_target_never_runs_in_the_place_of_ours(
    new_environment: Callable[[], Path], tmp_path: Path
) -> None:
    python = new_environment()
    packages = site_packages(python)
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(Path(pip_package.__file__).parent, packages / "pip", ignore=ignored)
    with (packages / "pip" / "_internal" / "cli" / "main.py").open("a") as main:
        main.write("\ndef main(*arguments):\n    raise SystemExit('the pip of the target ran')\n")
    # As start-up code of the target may do: `sitecustomize`, a path file.
    early = ("cli.main", "commands.install", "resolution.resolvelib.resolver")
    (packages / "early.pth").write_text(
        "import " + ", ".join(f"pip._internal.{name}" for name in early) + "\n"
    )
    install([hand_off(make_wheel(tmp_path / "store", "one", "1"))], python)
    assert (packages / "one-1.dist-info" / "INSTALLER").is_file()


def test_one_process_says_what_its_interpreter_is_and_is_the_pip_that_installs(
    client: Machine,
) -> None:
    log = client.folder / "starts"
    (packages,) = client.environment.glob("lib/python*/site-packages")
    (packages / "counted.pth").write_text(
        f"import os; open({str(log)!r}, 'a').write(f'{{os.getpid()}}\\n')"
    )

    def starts(*words: str) -> int:
        log.write_text("")
        done = client.install(*words)
        assert done.code == 0, done.err
        return len(set(log.read_text().split()))  # a path file may be read twice

    assert starts("--dry-run", "other") == 1
    assert starts("other") == 1  # what compiles is untouched by this environment
    assert starts("other") == 1


@pytest.mark.parametrize("wanted", [None, ["not-there"], []])
def test_pip_is_loaded_when_something_is_wanted_or_when_it_is_told_to(
    new_environment: Callable[[], Path], wanted: list[str] | None
) -> None:
    with Pip(new_environment(), asked=True, wanted=wanted) as pip:
        facts = pip.facts()
        assert facts is not None
        assert "tags" in json.loads(facts)
        pip.load()
        code, said, _ = pip.run(["--version"], while_running=lambda: None)
    assert code == 0
    assert said.startswith("pip ")


def test_the_pip_that_installs_is_spared_its_network(
    new_environment: Callable[[], Path], tmp_path: Path
) -> None:
    python, loaded = new_environment(), tmp_path / "loaded"
    (site_packages(python) / "said.pth").write_text(
        "import atexit, sys; atexit.register(lambda: open("
        f"{str(loaded)!r}, 'a').writelines(f'{{name}}\\n' for name, module in "
        "list(sys.modules.items()) if hasattr(module, '__file__')))"
    )
    install([hand_off(make_wheel(tmp_path / "store", "one", "1"))], python)
    modules = set(loaded.read_text().split())
    assert "pip._internal.operations.install.wheel" in modules
    assert not [
        name for name in modules if name.startswith(("pip._vendor.requests", "pip._vendor.u"))
    ]
    assert "pip._internal.network.session" not in modules


@pytest.mark.parametrize("spared", [True, False])
def test_a_pip_that_uses_what_it_was_spared_is_run_again_as_a_whole(
    new_environment: Callable[[], Path], tmp_path: Path, spared: bool
) -> None:
    wheel, python = make_wheel(tmp_path / "store", "one", "1"), new_environment()
    with serve_index() as index, Pip(python) as pip:
        index.offer(wheel)
        links = str(wheel.parent) if spared else f"{index.url}one/"
        code, said, errors = pip.run(
            ["install", "--no-index", "--no-compile", f"--find-links={links}", "one"],
            [f"project-{number}" for number in range(20_000)],  # too much for an argument
            while_running=lambda: None,
        )
    assert code == 0, errors
    assert "Error" not in errors
    assert said.count("Successfully installed one-1") == 1
    assert bool(index.seen) != spared


def test_an_interpreter_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(InstallationError, match="python-of-nobody"):
        Pip(tmp_path / "python-of-nobody")


def test_the_pip_that_pipx_shares_among_its_environments_is_found_and_one_elsewhere_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own, shared = tmp_path / "own", tmp_path / "shared"
    own.mkdir()
    (shared / "pip").mkdir(parents=True)
    for name in ("__init__.py", "__pip-runner__.py"):
        (shared / "pip" / name).write_text("")
    monkeypatch.setattr(site, "getsitepackages", lambda: [str(own)])
    monkeypatch.setattr(site, "ENABLE_USER_SITE", False)
    monkeypatch.syspath_prepend(str(shared))
    with pytest.raises(InstallationError, match="not installed beside"):
        pip_runner()
    (own / "of-nobody.pth").symlink_to(own / "gone.pth")  # `site` passes it over, too
    (own / "pipx_shared.pth").write_text(f"# as pipx writes it\nimport os\n{shared}\n")
    assert pip_runner() == shared / "pip" / "__pip-runner__.py"
