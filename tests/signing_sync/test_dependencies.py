"""Which projects a sync with dependencies reaches."""

from __future__ import annotations

import errno
import io
import random
import tarfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging.markers import Marker
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from securepip.formats.page import JSON_TYPE as JSON
from securepip.signing.overlay.follow import requirements
from securepip.signing.overlay.follow.markers import counts
from securepip.signing.overlay.follow.requirements import build_requirements
from tests.signing_sync.conftest import Sync
from tests.support.indexes import Index
from tests.support.repositories import MadeRepository
from tests.support.wheels import make_sdist, make_wheel, metadata_text


def offer(index: Index, folder: Path, name: str, *requires: str, version: str = "1.0") -> None:
    index.offer(make_wheel(folder, name, version, requires=requires))


def test_requirements_are_followed_and_each_project_found_is_signed_whole(
    index: Index, run: Sync, tmp_path: Path
) -> None:
    offer(index, tmp_path, "app", "lib<2")
    offer(index, tmp_path, "lib", "deep", version="1.0")
    offer(index, tmp_path, "lib", "newer-only", version="2.0")
    offer(index, tmp_path, "deep")
    offer(index, tmp_path, "newer-only")
    report = run("app", with_dependencies=True)
    assert report.signed == ["app", "deep", "lib"]
    assert report.files == 4


def test_every_platform_counts_and_only_unasked_extras_do_not(
    index: Index, run: Sync, tmp_path: Path
) -> None:
    offer(
        index,
        tmp_path,
        "app",
        "on-windows; sys_platform == 'win32'",
        "on-old; python_version < '3.10'",
        "for-a; extra == 'a'",
        "for-b; extra == 'b' and python_version > '3'",
        "for-c; extra == 'c'",
    )
    for name in ("on-windows", "on-old", "for-a", "for-b", "for-c"):
        offer(index, tmp_path, name)
    report = run("app[B]", with_dependencies=True)
    assert report.signed == ["app", "for-b", "on-old", "on-windows"]


def test_extras_are_passed_on_also_to_the_project_itself(
    index: Index, run: Sync, tmp_path: Path
) -> None:
    offer(index, tmp_path, "app", "app[fast]; extra == 'all'", "lib[speed]; extra == 'fast'")
    offer(index, tmp_path, "lib", "turbo; extra == 'speed'", "app")
    offer(index, tmp_path, "turbo")
    assert run("app", with_dependencies=True).signed == ["app"]
    report = run("app[all]", with_dependencies=True)
    assert report.signed == ["lib", "turbo"]


def test_wheels_of_one_release_may_differ_in_what_they_require(
    index: Index, run: Sync, tmp_path: Path
) -> None:
    for platform, needs in (("win_amd64", "winlib"), ("manylinux_2_17_x86_64", "linuxlib")):
        index.offer(
            make_wheel(tmp_path, "app", "1.0", requires=[needs], tag=f"cp311-cp311-{platform}")
        )
        offer(index, tmp_path, needs)
    assert run("app", with_dependencies=True).signed == ["app", "linuxlib", "winlib"]
    index.serves_metadata = index.says_metadata = False
    offer(index, tmp_path, "app", version="0.9")


def test_one_metadata_file_stands_for_all_wheels_with_its_digest(
    index: Index, run: Sync, tmp_path: Path
) -> None:
    for platform in ("win32", "win_amd64", "manylinux_2_17_x86_64", "macosx_11_0_arm64"):
        index.offer(make_wheel(tmp_path, "app", "1.0", tag=f"cp311-cp311-{platform}"))
    run("app", with_dependencies=True)
    assert sum(line.endswith(".metadata") for line in index.seen) == 1
    run("app", with_dependencies=True)
    assert sum(line.endswith(".metadata") for line in index.seen) == 1


def test_as_many_of_the_newest_releases_are_read_as_asked_for(
    index: Index, run: Sync, tmp_path: Path
) -> None:
    for number in range(8):
        offer(index, tmp_path, "app", f"lib{number}", version=f"1.{number}")
        offer(index, tmp_path, f"lib{number}")
    two = run("app", with_dependencies=True, dependency_versions=2)
    assert two.signed == ["app", "lib6", "lib7"]
    assert run("app", with_dependencies=True).signed == ["lib3", "lib4", "lib5"]


def test_the_newest_release_for_an_older_python_is_read_too(
    index: Index, run: Sync, tmp_path: Path
) -> None:
    for number in range(8):
        python = ">=3.11" if number else ">=3.9"
        (file,) = index.offer(make_wheel(tmp_path, "app", f"1.{number}", requires=[f"lib{number}"]))
        file.fields["requires-python"] = python
        offer(index, tmp_path, f"lib{number}")
    report = run("app", with_dependencies=True, dependency_versions=1)
    assert report.signed == ["app", "lib0", "lib7"]


def test_constraints_decide_which_releases_are_the_newest(
    index: Index, run: Sync, tmp_path: Path
) -> None:
    offer(index, tmp_path, "app", "old", version="1.0")
    offer(index, tmp_path, "app", "new", version="2.0")
    offer(index, tmp_path, "old")
    offer(index, tmp_path, "new")
    report = run("app", constraints=("app<2",), with_dependencies=True)
    assert report.signed == ["app", "old"]


def test_yanked_and_pre_releases_are_read_only_where_pip_would_take_them(
    index: Index, run: Sync, tmp_path: Path
) -> None:
    offer(index, tmp_path, "app", "stable", version="1.0")
    offer(index, tmp_path, "app", "pre", version="2.0rc1")
    (yanked,) = index.offer(make_wheel(tmp_path, "app", "1.5", requires=["withdrawn"]))
    yanked.fields["yanked"] = True
    for name in ("stable", "pre", "withdrawn"):
        offer(index, tmp_path, name)
    assert run("app", with_dependencies=True).signed == ["app", "stable"]
    assert run("app==1.5", with_dependencies=True).signed == ["withdrawn"]
    assert run("app>=2.0rc0", with_dependencies=True).signed == ["pre"]


def test_without_metadata_files_a_wheel_for_each_platform_is_read_once(
    index: Index, run: Sync, tmp_path: Path
) -> None:
    index.says_metadata = index.serves_metadata = False
    for platform, needs in (("win_amd64", "winlib"), ("manylinux_2_17_x86_64", "linuxlib")):
        for python in ("cp310", "cp311", "cp312"):
            index.offer(
                make_wheel(
                    tmp_path, "app", "1.0", requires=[needs], tag=f"{python}-{python}-{platform}"
                )
            )
        offer(index, tmp_path, needs)
    assert run("app", with_dependencies=True).signed == ["app", "linuxlib", "winlib"]
    fetched = [line for line in index.seen if "/files/app-" in line and line.endswith(".whl")]
    assert len(fetched) == 2
    index.seen.clear()
    run("app", with_dependencies=True)
    assert not [line for line in index.seen if line.endswith(".whl")]


@pytest.mark.parametrize("serves_parts", [True, False])
@pytest.mark.parametrize("says_metadata", [True, False])
def test_of_a_large_wheel_without_a_metadata_file_only_the_end_is_fetched(
    index: Index, run: Sync, tmp_path: Path, serves_parts: bool, says_metadata: bool
) -> None:
    index.serves_parts, index.says_metadata = serves_parts, says_metadata
    index.serves_metadata = False
    content = {"app/data": random.Random(0).randbytes(1_000_000)}
    index.offer(make_wheel(tmp_path, "app", "1.0", requires=["lib"], files=content))
    offer(index, tmp_path, "lib")
    assert run("app", with_dependencies=True).signed == ["app", "lib"]
    assert (index.sent < 200_000) == serves_parts


def test_an_sdist_tells_what_it_needs_and_what_its_build_needs(
    index: Index, run: Sync, tmp_path: Path
) -> None:
    pyproject = '[build-system]\nrequires = ["flit-core>=3", "?"]\n'
    index.offer(make_sdist(tmp_path, "app", "1.0", requires=["lib"], files={}, pyproject=pyproject))
    offer(index, tmp_path, "lib")
    offer(index, tmp_path, "flit-core")
    assert run("app", with_dependencies=True).signed == ["app", "flit-core", "lib"]


def test_an_sdist_that_this_machine_cannot_read_just_now_is_not_called_damaged(
    index: Index, run: Sync, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(path: Path) -> tarfile.TarFile:
        raise OSError(errno.EIO, "Input/output error")  # as a read says it: without the name

    index.offer(make_sdist(tmp_path, "app", "1.0", requires=["lib"]))
    monkeypatch.setattr(requirements, "open_tar", failing)
    (problem,) = run("app", with_dependencies=True).problems
    assert "cannot be used: Input/output error" in problem.what
    assert "pyproject" not in problem.what


def test_what_an_old_sdist_does_not_say_is_remarked_on_and_it_is_built_with_setuptools(
    index: Index, run: Sync, tmp_path: Path
) -> None:
    path = tmp_path / "app-1.0.tar.gz"
    text = metadata_text("app", "1.0", metadata_version="1.0").encode()
    with tarfile.open(path, "w:gz") as tar:
        info = tarfile.TarInfo("app-1.0/PKG-INFO")
        info.size = len(text)
        tar.addfile(info, io.BytesIO(text))
    index.offer(path)
    offer(index, tmp_path, "setuptools")
    offer(index, tmp_path, "wheel")
    report = run("app", with_dependencies=True)
    assert report.signed == ["app", "setuptools", "wheel"]
    assert "may turn out to need more" in report.remarks[0]


def test_a_metadata_file_that_is_not_that_of_its_wheel_is_not_signed(
    index: Index, overlay: MadeRepository, run: Sync, tmp_path: Path
) -> None:
    (file,) = index.offer(make_wheel(tmp_path, "app", "1.0", requires=["lib"]))
    file.metadata = metadata_text("app", "1.0", ["forged"]).encode()
    index.serves_metadata = False
    offer(index, tmp_path, "lib")
    offer(index, tmp_path, "forged")
    assert run("app", with_dependencies=True).signed == ["app", "lib"]
    page = overlay.repository.page(canonicalize_name("app"))
    assert page is not None
    assert page.files[0].core_metadata is None
    assert run("app", with_dependencies=True).roles == ()


def test_a_dependency_nobody_knows_is_an_error_unless_only_some_platform_needs_it(
    index: Index, run: Sync, tmp_path: Path
) -> None:
    offer(index, tmp_path, "app", "gone; python_version < '3.10'", "missing")
    report = run("app", with_dependencies=True)
    assert [problem.project for problem in report.problems] == ["missing"]
    assert any("gone: not known to" in remark for remark in report.remarks)


def test_a_wheel_that_cannot_be_fetched_is_an_error_and_is_tried_again(
    index: Index, run: Sync, tmp_path: Path
) -> None:
    index.says_metadata = index.serves_metadata = False
    offer(index, tmp_path, "app", "lib")
    offer(index, tmp_path, "lib")
    index.raw["/files/app-1.0-py3-none-any.whl"] = (500, "text/plain", b"")
    assert "not known" in str(run("app", with_dependencies=True).problems[0])
    index.raw.clear()
    report = run("app", with_dependencies=True)
    assert (report.signed, report.problems) == (["lib"], [])


def test_metadata_that_is_not_valid_stops_nothing(index: Index, run: Sync, tmp_path: Path) -> None:
    bad = "Metadata-Version: 2.1\nName: app\nVersion: 2.0\nRequires-Dist: ???\n"
    index.offer(make_wheel(tmp_path, "app", "2.0", metadata=bad))
    offer(index, tmp_path, "app", "lib", version="1.0")
    offer(index, tmp_path, "lib")
    report = run("app", with_dependencies=True)
    assert report.signed == ["app", "lib"]
    assert report.problems == []


@pytest.mark.parametrize(
    ("pyproject", "expected"),
    [
        (None, ("setuptools", "wheel")),
        (b"", ("setuptools", "wheel")),
        (b"[build-system]\nrequires = []", ()),
        (b"[build-system]\nrequires = ['hatchling', 3, '???']", ("hatchling",)),
        (b"build-system = 3", ("setuptools", "wheel")),
    ],
)
def test_build_requirements_are_those_of_pep_518(
    pyproject: bytes | None, expected: tuple[str, ...]
) -> None:
    assert build_requirements(pyproject) == expected


_ENVIRONMENTS = [
    {"python_version": python, "sys_platform": system}
    for python in ("3.9", "3.12")
    for system in ("linux", "win32")
]
_atoms = st.sampled_from(
    [
        "python_version < '3.10'",
        "python_version >= '3.10'",
        "sys_platform == 'win32'",
        "sys_platform != 'win32'",
        "extra == 'a'",
        "extra == 'B_b'",
        "'a' == extra",
    ]
)
_markers = st.recursive(
    _atoms,
    lambda inner: st.builds("({} {} {})".format, inner, st.sampled_from(["and", "or"]), inner),
    max_leaves=6,
)


@given(_markers, st.sets(st.sampled_from(["a", "b-b", "c"])))
def test_what_some_environment_needs_always_counts(text: str, extras: set[str]) -> None:
    asked = [canonicalize_name(extra) for extra in extras]
    needed = any(
        Marker(text).evaluate({**environment, "extra": extra})
        for environment in _ENVIRONMENTS
        for extra in ("", *asked)
    )
    assert counts(Requirement(f"x; {text}"), asked) or not needed


@given(st.sampled_from(["and", "or"]), st.sampled_from(["and", "or"]))
def test_what_only_an_unasked_extra_needs_never_counts(first: str, second: str) -> None:
    text = f"extra == 'a' {first} extra == 'b' {second} extra == 'a'"
    assert not counts(Requirement(f"x; {text}"), [])


@pytest.mark.parametrize(
    ("marker", "holds"),
    [
        ("python_version < '3'", False),
        ("python_full_version < '3.9.0'", False),
        ("python_version < '3.9.2' and python_version > '3.10'", False),
        ("sys_platform == 'win32' and os_name == 'posix'", False),
        ("sys_platform == 'nowhere'", False),
        ("os_name == sys_platform", False),
        ("'a' == 'b'", False),
        ("os_name == '\"'", False),
        ("os_name ~= 'posix'", False),
        ("python_version < '2.8' or platform_machine == 'pdp11'", False),
        ("'linux' in sys_platform and platform_system == 'Windows'", False),
        (" and ".join(["python_version > '3'"] * 300), False),
        ("python_version < '3.10'", True),
        ("python_full_version > '3.9.15' and python_full_version < '3.9.17'", True),
        ("python_version ~= '3.8'", True),
        ("platform_system == 'Windows' and platform_machine == 'ARM64'", True),
        ("platform_machine == 'aarch64' or (platform_machine == 'ppc64le')", True),
        ("implementation_name == 'pypy' and sys_platform == 'darwin'", True),
        ("platform_release >= '5' and platform_version == 'x'", True),
    ],
    ids=lambda each: str(each)[:60],
)
def test_a_marker_counts_if_any_python_and_platform_of_today_can_satisfy_it(
    marker: str, holds: bool
) -> None:
    assert counts(Requirement(f"x; {marker}"), []) == holds


def test_strangers_behind_markers_that_never_hold_are_not_signed_and_whoever_led_to_what_is_said(
    index: Index, run: Sync, tmp_path: Path
) -> None:
    strangers = [f"stranger{n}" for n in range(5)]
    never = [f"{each}; sys_platform == 'win32' and os_name == 'posix'" for each in strangers]
    offer(index, tmp_path, "app", "lib", *never)
    offer(index, tmp_path, "lib", "deep; python_version >= '3.12'")
    for name in ("deep", *strangers):
        offer(index, tmp_path, name)
    report = run("app", with_dependencies=True)
    assert report.signed == ["app", "deep", "lib"]
    assert report.because == {"lib": "app", "deep": "lib"}
    assert not any("stranger" in line for line in index.seen)


def test_what_is_required_and_not_signed_is_said(index: Index, run: Sync, tmp_path: Path) -> None:
    offer(index, tmp_path, "app", "idna", "lib[x]>=1", "old; python_version < '3'", "y; extra=='y'")
    offer(index, tmp_path, "lib")
    assert run("lib").unsigned == {}
    assert run("app").unsigned == {"app": ("idna",)}


@pytest.mark.parametrize(
    "poison",
    [
        "requires",
        "pyproject",
        "page",
        "filename",
        "deep",
    ],
)
def test_whatever_one_project_makes_python_raise_reaches_no_other(
    index: Index, run: Sync, tmp_path: Path, poison: str
) -> None:
    digits = "1" * 5000
    if poison == "requires":
        meta = f"Metadata-Version: 2.1\nName: evil\nVersion: 1.0\nRequires-Dist: lib=={digits}\n"
        index.offer(make_wheel(tmp_path, "evil", "1.0", metadata=meta))
    elif poison == "pyproject":
        project = f"[build-system]\nrequires = ['lib>={digits}']\n[x]\ny = {digits}\n"
        index.offer(make_sdist(tmp_path, "evil", "1.0", pyproject=project))
    elif poison == "page":
        (evil,) = index.offer(make_wheel(tmp_path, "evil", "1.0"))
        page = index.answer("/simple/evil/", JSON)[2].decode()
        page = page.replace(f'"size": {len(evil.data)}', f'"size": {digits}')
        index.raw["/simple/evil/"] = (200, JSON, page.encode())
    elif poison == "filename":
        (evil,) = index.offer(make_wheel(tmp_path, "evil", "1.0"))
        evil.filename = f"evil-{digits}-py3-none-any.whl"
    else:
        (evil,) = index.offer(make_wheel(tmp_path, "evil", "1.0"))
        evil.fields = {"yanked": "[" * 5000, "requires-python": "(" * 5000}
    offer(index, tmp_path, "app", "evil")
    offer(index, tmp_path, "good")
    report = run("evil", "app", "good", with_dependencies=True)
    assert {"app", "good"} <= set(report.signed)
    assert {problem.project for problem in report.problems} <= {"evil"}


def test_an_sdist_that_would_take_all_memory_ends_no_sync(
    index: Index, run: Sync, tmp_path: Path
) -> None:
    """Whoever signs would be ended by the system, at each run, until all signatures expire."""
    project = f"[build-system]\nrequires = []\n[{'.'.join(['a'] * 3_000)}]\n"
    index.offer(make_sdist(tmp_path, "evil", "1.0", files={}, pyproject=project))
    offer(index, tmp_path, "good")
    report = run("evil", "good", with_dependencies=True)
    assert report.signed == ["evil", "good"]
    assert any("a key of more than 100 names" in remark for remark in report.remarks)


def test_a_number_of_thousands_of_digits_stops_nobody_else(
    index: Index, run: Sync, tmp_path: Path
) -> None:
    """Python converts no such number: an error in the middle of a comparison."""
    (evil,) = index.offer(make_wheel(tmp_path, "evil", "1.0"))
    evil.fields = {"requires-python": ">=" + "1" * 5000}
    offer(index, tmp_path, "app")
    assert run("evil", "app", with_dependencies=True).signed == ["app", "evil"]
