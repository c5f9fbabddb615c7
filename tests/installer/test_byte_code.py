"""The byte code cache: its owner, the sources of its files, and its size."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import threading
import tracemalloc
import venv
import zipfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from importlib.util import cache_from_source
from mmap import mmap
from pathlib import Path
from typing import Any, cast

import pytest

from securepip.dirs import Seal
from securepip.formats.digests import Sha256, sha256_of
from securepip.installer import HandOff, InstallOptions, install
from securepip.installer.target._compile_worker import (
    compile_member,
    compile_members,
    interpreter,
)
from securepip.installer.target.byte_code import Interpreter, WheelCode
from securepip.installer.target.byte_code_cache import ByteCodeCache
from securepip.installer.target.compile import Compiler
from securepip.interpreter.process import Pip
from tests.installer.conftest import hand_off, run_pip, site_packages
from tests.support.wheels import make_wheel

_GOOD = b"def whose():\n    return 'good'\n"
_EVIL = b"def whose():\n    return 'evil'\n"
_WHEEL = sha256_of(b"a wheel")
_HERE = Interpreter.parse(interpreter())


def _ours() -> Seal:
    return Seal(b"ours")


def _theirs() -> Seal:
    return Seal(b"theirs")


@pytest.fixture
def cache(tmp_path: Path) -> ByteCodeCache:
    return ByteCodeCache(tmp_path / "cache", _ours)


@pytest.fixture
def wheel(tmp_path: Path) -> HandOff:
    return hand_off(make_wheel(tmp_path / "store", "one", "1", files={"one.py": _GOOD}))


def _code_of(source: bytes, *, beside: bytes, member: str = "one.py") -> mmap:
    """A forged entry: the code of one source under the name of another."""
    row, code = _compiled(source)
    return WheelCode.join([([member], [[sha256_of(beside), *row[1:]]], code)])


def _compiled(source: bytes) -> tuple[list[Any], Path]:
    """A worker's answer for a source, and the file that it writes."""
    code = Path(tempfile.mkdtemp()) / "code"
    with code.open("xb") as stream:
        row = compile_member(source, 0, stream)
    assert row is not None
    return row, code


def _import(python: Path, expression: str, *options: str) -> str:
    """The value of an expression in the environment, which uses byte code and writes none."""
    command = [str(python), "-B", *options, "-c", f"import one; print({expression})"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


@pytest.mark.parametrize(
    ("seal", "cut", "expected"),
    [(_ours, 0, "evil"), (_theirs, 0, "good"), (_ours, 1, "good")],
    ids=["the attack, with the user's own mark", "a mark of somebody else", "a damaged file"],
)
def test_byte_code_that_this_user_has_not_kept_there_never_runs(
    python: Path,
    wheel: HandOff,
    tmp_path: Path,
    seal: Callable[[], Seal],
    cut: int,
    expected: str,
) -> None:
    forger = ByteCodeCache(tmp_path / "cache", seal)
    assert forger.is_usable
    forger.keep(wheel.wheel.sha256, _HERE, _code_of(_EVIL, beside=_GOOD))
    (forged,) = (tmp_path / "cache").iterdir()
    forged.write_bytes(forged.read_bytes()[: forged.stat().st_size - cut])
    cache = ByteCodeCache(tmp_path / "cache", _ours)
    install([wheel], python, byte_code=cache)
    assert _import(python, "one.whose()") == expected
    # What was not believed has been compiled and kept anew.
    assert cache.find(wheel.wheel.sha256, _HERE)


def test_byte_code_says_where_its_source_is_before_it_is_imported(
    new_environment: Callable[[], Path], wheel: HandOff, cache: ByteCodeCache
) -> None:
    for python in (new_environment(), new_environment()):
        install([wheel], python, byte_code=cache)
    source = site_packages(python) / "one.py"
    byte_code = Path(cache_from_source(str(source)))
    data = byte_code.read_bytes()
    assert int.from_bytes(data[8:12], "little") == int(source.stat().st_mtime)
    assert byte_code.stat().st_mode == source.stat().st_mode
    # Run as it is, with no import that would correct the name.
    run = "__import__('runpy').run_path(one.__cached__)['whose']"
    for function in (run, "one.whose"):
        assert _import(python, f"{function}.__code__.co_filename") == str(source)
    rows = (site_packages(python) / "one-1.dist-info" / "RECORD").read_text().splitlines()
    assert f"__pycache__/{byte_code.name},," in rows


def test_byte_code_is_that_of_the_source_that_is_there_whatever_the_wheel_holds(
    python: Path, tmp_path: Path, cache: ByteCodeCache
) -> None:
    target = tmp_path / "target"
    options = InstallOptions(target=str(target))
    new = hand_off(make_wheel(tmp_path / "store", "one", "2", files={"one/__init__.py": _EVIL}))
    old = hand_off(make_wheel(tmp_path / "store", "one", "1", files={"one/__init__.py": _GOOD}))
    install([new], python, byte_code=cache)
    install([old], python, replace(options, compile=False))
    # pip leaves alone what is in a target folder already, and says that it does.
    report = install([new], python, options, byte_code=cache)
    assert "already exists" in report.warnings
    with_target = f"__import__('sys').path.insert(0, {str(target)!r})"
    script = f"{with_target}; import one; print(one.whose())"
    command = [str(python), "-B", "-c", script]
    assert subprocess.check_output(command, text=True).strip() == "good"


@pytest.mark.parametrize(
    ("member", "believed"), [("one.py", True), ("one-1.data/scripts/one.py", False)]
)
def test_a_script_which_pip_rewrites_is_read_before_byte_code_is_written_for_it(
    tmp_path: Path, member: str, believed: bool
) -> None:
    """Its length may be that of the wheel's by chance; no other file is read again."""
    path = tmp_path / "one.py"
    path.write_bytes(_GOOD)
    wheel = WheelCode.parse(_code_of(_EVIL, beside=_EVIL, member=member))
    compiler = Compiler(Path(sys.executable), cast(Pip, None), {}, tmp_path)
    compiler._interpreter = _HERE
    done = compiler._write_one(str(path), wheel, member, len(_GOOD))
    assert (done is not None) == believed


def test_what_runs_in_one_environment_decides_nothing_of_what_is_kept_for_others(
    new_environment: Callable[[], Path], wheel: HandOff, cache: ByteCodeCache, tmp_path: Path
) -> None:
    python = new_environment()
    evil = tmp_path / "elsewhere"
    venv.create(evil, symlinks=True)
    early = site_packages(evil / "bin" / "python") / "early.pth"
    early.write_text(
        "import importlib.machinery as m; m.SourceFileLoader.source_to_code = "
        "lambda self, data, path, **more: "
        f"compile(data if '/pip/' in str(path) else {_EVIL!r}, path, 'exec')\n"
    )
    # The attack: such an environment compiles something else, and pip in it does too.
    run_pip(evil / "bin" / "python", "install", "--no-deps", wheel.wheel.path)
    assert _import(evil / "bin" / "python", "one.whose()", "-s") == "evil"
    install([wheel], evil / "bin" / "python", byte_code=cache)
    install([wheel], python, byte_code=cache)
    assert _import(python, "one.whose()") == "good"


@pytest.mark.parametrize(
    ("wheel", "interpreter"),
    [
        (sha256_of(b"another wheel"), _HERE),
        (_WHEEL, replace(_HERE, level=2)),
        (_WHEEL, replace(_HERE, identity=(*_HERE.identity[:-2], "cpython-399", "00000000"))),
        (_WHEEL, replace(_HERE, identity=("cpython", "3.99 (built elsewhere)"))),
    ],
    ids=["wheel", "level", "tag", "build"],
)
def test_byte_code_counts_for_nothing_but_what_it_was_made_for(
    cache: ByteCodeCache, tmp_path: Path, wheel: Sha256, interpreter: Interpreter
) -> None:
    assert cache.is_usable
    code = _code_of(_GOOD, beside=_GOOD)
    cache.keep(_WHEEL, _HERE, code)
    (kept,) = (tmp_path / "cache").iterdir()
    assert cache.find(wheel, interpreter) is None
    cache.keep(wheel, interpreter, code)
    (other,) = set((tmp_path / "cache").iterdir()) - {kept}
    other.write_bytes(kept.read_bytes())  # under the name that is asked for
    assert cache.find(wheel, interpreter) is None
    assert cache.find(_WHEEL, _HERE)


@pytest.mark.parametrize("damage", [lambda data: data[:-1], lambda data: data[:70], lambda _: b""])
def test_a_damaged_file_is_as_good_as_none(
    cache: ByteCodeCache, tmp_path: Path, damage: Callable[[bytes], bytes]
) -> None:
    assert cache.is_usable
    cache.keep(_WHEEL, _HERE, _code_of(_GOOD, beside=_GOOD))
    (kept,) = (tmp_path / "cache").iterdir()
    assert cache.find(_WHEEL, _HERE)
    kept.write_bytes(damage(kept.read_bytes()))
    assert cache.find(_WHEEL, _HERE) is None


def test_the_heap_holds_nothing_of_what_a_large_wheel_compiles_to(cache: ByteCodeCache) -> None:
    assert cache.is_usable
    large = b"text = '%s'\n" % (b"x" * 4_000_000)
    row, code = _compiled(large)
    tracemalloc.start()
    try:
        cache.keep(_WHEEL, _HERE, WheelCode.join([(["one.py"], [row], code)]))
        found = cache.find(_WHEEL, _HERE)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    one = found.get("one.py") if found else None
    assert one is not None
    assert len(one.before) + len(one.after) > 4_000_000
    assert most < 1_000_000


def test_a_worker_reads_once_what_a_wheel_holds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[object] = []
    whole = zipfile.ZipFile

    def counted(path: str) -> zipfile.ZipFile:
        read.append(path)
        return whole(path)

    files = {"one.py": _GOOD, "two.py": _EVIL}
    first, second = (str(make_wheel(tmp_path, name, "1", files=files)) for name in ("one", "two"))
    monkeypatch.setattr(zipfile, "ZipFile", counted)
    asked = [(first, "one.py"), (first, "two.py"), (second, "two.py")]
    rows = [
        compile_members(wheel, [member], 0, str(tmp_path / f"code-{at}"))
        for at, (wheel, member) in enumerate(asked)
    ]
    assert [row[0] for (row,) in rows] == list(map(sha256_of, (_GOOD, _EVIL, _EVIL)))
    assert read == [first, second]


def test_what_was_not_used_for_the_longest_time_goes_first(tmp_path: Path) -> None:
    code = _code_of(_GOOD, beside=_GOOD)
    wheels = [sha256_of(bytes([number])) for number in range(4)]
    cache = ByteCodeCache(tmp_path / "cache", _ours, limit=3 * (len(code) + 65))
    assert cache.is_usable
    for age, one in enumerate(reversed(wheels[:3]), 1):
        cache.keep(one, _HERE, code)
        (new,) = [each for each in (tmp_path / "cache").iterdir() if each.stat().st_mtime > 9999]
        os.utime(new, (1000 - age, 1000 - age))
    assert cache.find(wheels[0], _HERE)  # the oldest is used
    cache.trim()
    assert [cache.has(one, _HERE) for one in wheels] == [True, True, True, False]
    cache.keep(wheels[3], _HERE, code)
    cache.trim()
    assert [cache.has(one, _HERE) for one in wheels] == [True, False, True, True]


def test_a_cache_that_cannot_be_trimmed_fails_no_install(tmp_path: Path) -> None:
    cache = ByteCodeCache(tmp_path / "cache", _ours, limit=0)
    assert cache.is_usable
    cache.keep(sha256_of(b""), _HERE, _code_of(_GOOD, beside=_GOOD))
    (tmp_path / "cache").rename(tmp_path / "elsewhere")
    (tmp_path / "cache").write_bytes(b"")
    cache.trim()


def test_two_installs_at_a_time_share_one_cache(
    tmp_path: Path, wheel: HandOff, cache: ByteCodeCache
) -> None:
    start = threading.Barrier(2)

    def run(name: str) -> Path:
        venv.create(tmp_path / name, symlinks=True)
        python = tmp_path / name / "bin" / "python"
        start.wait()
        install([wheel], python, byte_code=ByteCodeCache(tmp_path / "cache", _ours, limit=1))
        return python

    with ThreadPoolExecutor(2) as pool:
        pythons = list(pool.map(run, ["first", "second"]))
    for python in pythons:
        source = site_packages(python) / "one.py"
        assert Path(cache_from_source(str(source))).is_file()
        assert _import(python, "one.whose()") == "good"


def test_a_folder_of_the_cache_that_others_may_write_to_is_not_used(
    python: Path, wheel: HandOff, cache: ByteCodeCache, tmp_path: Path
) -> None:
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache").chmod(0o777)
    install([wheel], python, byte_code=cache)
    assert list((tmp_path / "cache").iterdir()) == []
    assert list(site_packages(python).glob(f"__pycache__/one.{sys.implementation.cache_tag}.pyc"))
