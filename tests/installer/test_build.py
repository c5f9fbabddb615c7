"""Wheels from sdists: only verified code runs, and the wheel is the expected release."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import mkdtemp

import pytest
from packaging.utils import canonicalize_name
from packaging.version import Version

from securepip.dirs import Seal
from securepip.errors import InstallationError, VerificationError
from securepip.formats.core_metadata import parse_core_metadata, read_core_metadata
from securepip.formats.digests import Sha256, sha256_of
from securepip.formats.page import PageFile
from securepip.index.types import UserDirectory
from securepip.installer import HandOff, install
from securepip.installer.build.backend import Backend, BuildSystem
from securepip.installer.build.cache import BuiltWheel, Source, WheelCache
from securepip.installer.build.source import Build, BuildSettings
from securepip.installer.sdists import _lacking
from securepip.resolver.plan import PlannedFile
from tests.installer.conftest import hand_off, installed, verified
from tests.support.wheels import make_sdist, make_wheel, metadata_text


@dataclass
class Installer:
    """Installs wheels of a folder into build environments, and records the requirements."""

    folder: Path
    asked: list[list[str]] = field(default_factory=list)

    def __call__(self, python: Path, requirements: Sequence[str]) -> Iterator[Sha256]:
        self.asked.append(list(requirements))
        for name in requirements:
            (wheel,) = self.folder.glob(f"{name}-*.whl")
            item = hand_off(wheel)
            install([item], python)
            yield item.wheel.sha256


@pytest.fixture
def installer(tmp_path: Path) -> Installer:
    return Installer(tmp_path / "wheels")


@pytest.fixture
def settings(tmp_path: Path, installer: Installer) -> BuildSettings:
    return BuildSettings(
        Path(sys.executable),
        "cp3-none-any",
        installer,
        _lacking,
        lambda: None,
        WheelCache(tmp_path / "cache", lambda: Seal(b"secret")),
    )


def build_of(source: Source, settings: BuildSettings, **config_settings: str) -> Build:
    """A build in a new folder; an sdist must be of ``one``."""
    return Build(source, None, config_settings, settings, Path(mkdtemp()))


def build_wheel(source: Source, settings: BuildSettings, **config_settings: str) -> BuiltWheel:
    return build_of(source, settings, **config_settings).wheel()


def prepare_metadata(source: Source, settings: BuildSettings) -> bytes:
    return build_of(source, settings).metadata()


@pytest.mark.parametrize("changed", ["nothing", "wheel", "mark", "both", "folder"])
def test_only_what_an_own_run_has_built_counts_as_built_here(tmp_path: Path, changed: str) -> None:
    """Whoever looks for it, with its ingredients or by the release alone."""
    cache = WheelCache(tmp_path / "cache", lambda: Seal(b"secret"))
    folder = UserDirectory(tmp_path, tmp_path.as_uri(), "named")
    kept = cache.keep(make_wheel(tmp_path / "built", "one", "1"), "0" * 64, folder)
    (mark,) = [path for path in kept.path.parent.iterdir() if path != kept.path]
    if changed in ("wheel", "both"):
        other = make_wheel(tmp_path / "evil", "one", "1", files={"one.py": "evil = True\n"})
        kept.path.write_bytes(other.read_bytes())
    if changed in ("mark", "both"):
        stranger = WheelCache(tmp_path / "theirs", lambda: Seal(b"another"))
        theirs = stranger.keep(make_wheel(tmp_path / "evil", "one", "1"), "0" * 64, folder)
        mark.write_bytes((theirs.path.parent / mark.name).read_bytes())
    if changed == "folder":
        kept.path.parent.chmod(0o777)
    built = list(cache.built(canonicalize_name("one"), Version("1")))
    found = cache.find("0" * 64, folder)
    if changed == "nothing":
        assert built == [kept.path]
        assert found is not None
        assert found.sha256 == kept.sha256
        assert not list(cache.built(canonicalize_name("one"), Version("2")))
    else:
        assert built == []
        assert found is None


def test_a_built_wheel_installs_like_any_other(
    python: Path, tmp_path: Path, settings: BuildSettings
) -> None:
    path = make_sdist(tmp_path / "store", "one", "1")
    sdist = verified(path)
    metadata = prepare_metadata(sdist, settings)
    wheel = build_wheel(sdist, settings)
    page_file = PageFile(sdist.filename, sdist.url, sdist.sha256, sdist.size)
    planned = PlannedFile(sdist.project, sdist.version, page_file, True, frozenset(), (), metadata)
    assert len(install([HandOff(planned, wheel)], python).installed) == 1
    assert installed(python) == {"one": "1"}
    other = metadata_text("one", "1", ["surprise"]).encode()
    with pytest.raises(InstallationError, match="needs something else"):
        install([HandOff(replace(planned, core_metadata=other), wheel)], python)
    with pytest.raises(VerificationError, match="planned"):
        replaced = page_file._replace(sha256=sha256_of(b"another"))
        install([HandOff(replace(planned, file=replaced), wheel)], python)


_PYPROJECT = """
[build-system]
requires = [{}]
build-backend = "b"
backend-path = ["."]
"""
_BACKEND = """
import zipfile, helper, sys, os
def get_requires_for_build_wheel(config_settings=None):
    return ["more"]
def prepare_metadata_for_build_wheel(folder, config_settings=None):
    import more
    os.mkdir(folder + "/one-1.dist-info")
    with open(folder + "/one-1.dist-info/METADATA", "w") as f:
        f.write("Metadata-Version: 2.1\\nName: one\\nVersion: 1\\nRequires-Dist: prepared\\n")
    return "one-1.dist-info"
def build_wheel(folder, config_settings=None, metadata_directory=None):
    raise SystemExit("no wheel today")
"""


_METADATA = """
import os
def prepare_metadata_for_build_wheel(folder, *_):
    os.mkdir(folder + "/one-1.dist-info")
    with open(folder + "/one-1.dist-info/METADATA", "w") as f:
        f.write("Metadata-Version: 2.1\\nName: one\\nVersion: 1\\n")
    return "one-1.dist-info"
"""
_ENDLESS = f"x>={'9' * 5000}"


@pytest.mark.parametrize(
    ("pyproject", "backend", "said"),
    [
        (f"x = {'[' * 5000}{']' * 5000}", "", "cannot be read"),
        (f"[{'.'.join('a' * 200)}]", "", "cannot be read: a key of more than 100 names"),
        ("#" * (2 << 20), "", "cannot be read: longer than"),
        (_PYPROJECT.format(f'"{_ENDLESS}"'), "", "contains an invalid requirement: 'x>=999"),
        ("", "def build_wheel(*_): return 7\n", "says that it made 7, which is not there"),
        ("", "def build_wheel(*_): return '../metadata'\n", "says that it made '../metadata'"),
        ("", "def build_wheel(*_): os._exit(0)\n", "gives no answer that can be read"),
        ("", "def prepare_metadata_for_build_wheel(*_): return []\n", "says that it made \\[\\]"),
        (
            "",
            "def prepare_metadata_for_build_wheel(folder, *_):\n"
            "    os.mkdir(folder + '/x')\n    return 'x'\n",
            "made metadata that cannot be read",
        ),
    ],
)
def test_a_backend_that_answers_nonsense_is_named(
    tmp_path: Path, settings: BuildSettings, pyproject: str, backend: str, said: str
) -> None:
    (tmp_path / "pyproject.toml").write_text(pyproject or _PYPROJECT.format(""))
    (tmp_path / "b.py").write_text(_METADATA + backend)
    source = UserDirectory(tmp_path, tmp_path.as_uri(), "named")
    with pytest.raises(InstallationError, match=said):
        build_wheel(source, replace(settings, isolated=False))


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ("7", "answers 7, which is not a list of strings"),
        ("[7]", "which is not a list of strings"),
        ("['[']", r"asks for '\['"),
        (f"['{_ENDLESS}']", "a requirement with a number of a thousand digits"),
    ],
)
def test_build_requirements_that_are_nonsense_are_refused(
    tmp_path: Path, answer: str, said: str
) -> None:
    (tmp_path / "b.py").write_text(f"def get_requires_for_build_wheel(*_): return {answer}\n")
    system = BuildSystem((), "b", (".",))
    python = Path(sys.executable)
    backend = Backend(tmp_path, system, python, isolated=False, config_settings={}, name="one")
    with pytest.raises(InstallationError, match=said):
        backend.requires(editable=False)


def test_build_requirements_are_installed_and_the_hook_for_metadata_is_used(
    tmp_path: Path, settings: BuildSettings, installer: Installer
) -> None:
    make_wheel(installer.folder, "helper", "1")
    make_wheel(installer.folder, "more", "1")
    path = make_sdist(
        tmp_path / "store",
        "one",
        "1",
        files={"b.py": _BACKEND},
        pyproject=_PYPROJECT.format('"helper"'),
    )
    sdist = verified(path)
    metadata = parse_core_metadata(prepare_metadata(sdist, settings))
    assert [str(each) for each in metadata.requires_dist] == ["prepared"]
    assert installer.asked == [["helper"], ["more"]]
    with pytest.raises(InstallationError, match="Building wheel for one") as failed:
        build_wheel(sdist, settings)
    assert "no wheel today" in str(failed.value)


def test_a_build_sees_nothing_of_its_surroundings(
    tmp_path: Path, settings: BuildSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "hostile").mkdir()
    (tmp_path / "hostile" / "helper.py").write_text("")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "hostile"))
    monkeypatch.chdir(tmp_path / "hostile")
    path = make_sdist(
        tmp_path / "store",
        "one",
        "1",
        files={"b.py": _BACKEND},
        pyproject=_PYPROJECT.format(""),
    )
    with pytest.raises(InstallationError) as failed:
        build_wheel(verified(path), settings)
    assert "helper" in str(failed.value)


def test_the_same_ingredients_are_built_once(
    tmp_path: Path, settings: BuildSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    sdist = verified(make_sdist(tmp_path / "store", "one", "1"))
    first = build_wheel(sdist, settings)
    time = first.path.stat().st_mtime_ns
    assert build_wheel(sdist, settings) == first
    assert first.path.stat().st_mtime_ns == time
    assert build_wheel(sdist, replace(settings, tag="cp4-none-any")).path != first.path
    assert build_wheel(sdist, settings, x="y").path != first.path
    first.path.write_bytes(b"damaged")
    again = build_wheel(sdist, settings)
    assert read_core_metadata(again.path)


def test_an_sdist_that_changed_after_it_was_verified_never_runs(
    tmp_path: Path, settings: BuildSettings
) -> None:
    sdist = verified(make_sdist(tmp_path / "store", "one", "1"))
    make_sdist(tmp_path / "store", "one", "1", files={"setup.py": "evil()"})
    with pytest.raises(VerificationError, match="not what was verified"):
        build_wheel(sdist, settings)


@pytest.mark.parametrize(("name", "version"), [("other", "1"), ("one", "2")])
def test_a_build_that_makes_another_release_is_refused(
    tmp_path: Path, settings: BuildSettings, name: str, version: str
) -> None:
    path = make_sdist(tmp_path / "store", "one", "1", metadata=metadata_text(name, version))
    with pytest.raises(VerificationError, match="another release"):
        build_wheel(verified(path), settings)


def test_nobody_else_makes_a_built_wheel(tmp_path: Path) -> None:
    sdist = verified(make_sdist(tmp_path / "store", "one", "1"))
    with pytest.raises(TypeError):
        BuiltWheel("one-1-py3-none-any.whl", tmp_path, sdist.sha256, 1, sdist)


@pytest.mark.parametrize(
    "kept", ['{"requires": [], "mark": "\\udcff"}', '{"requires":' + "[" * 100_000, "[]"]
)
def test_a_damaged_answer_of_a_backend_is_as_good_as_none(tmp_path: Path, kept: str) -> None:
    """A cache from elsewhere stopped each build, and was called a defect."""
    cache = WheelCache(tmp_path, lambda: Seal(b"secret"))
    cache.keep_answer("what", "static", ["flit"])
    assert cache.answer("what", "static") == ["flit"]
    (tmp_path / "answers" / "what" / "static").write_text(kept)
    assert cache.answer("what", "static") is None
