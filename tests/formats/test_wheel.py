"""Which members of a wheel are its metadata, for pip and on the disk."""

from __future__ import annotations

import re
import zipfile
from pathlib import Path

import pytest

from securepip.errors import FormatError
from securepip.formats.wheel import (
    check_installable,
    dist_info_of,
    look_inside,
    script_names,
)
from securepip.plugin.environment import Environment
from tests.support.wheels import add_to_record, make_wheel

FOLDER = "app-1.dist-info"
LIBRARIES = (
    *("data/lib/python3.11/site-packages", "data/lib64/./python3/dist-packages"),
    *("data/Lib/site-packages", "data/lib/python"),
)
"""How files of other schemes get into a folder of libraries; the last is that of ``--target``."""
HONEST = ["app/__init__.py", f"{FOLDER}/METADATA", f"{FOLDER}/RECORD"]


@pytest.mark.parametrize(
    "more",
    [
        [],
        [f"{FOLDER}/"],
        [f"{FOLDER}/METADATA"],  # the same name twice is one file for pip
        ["app-1.data/purelib/app/more.py"],
        ["app-1.data/scripts/x.dist-info"],
        ["app/y.dist-info/METADATA"],
        ["App.egg-info/PKG-INFO"],  # of itself, by mistake
        ["app-1.data/scripts/python-app", "app-1.data/scripts/ipython3"],
        ["app-1.data/data/share/python/x.txt", "app-1.data/data/share/x.egg-info/PKG-INFO"],
    ],
)
def test_a_wheel_has_one_folder_of_metadata(more: list[str]) -> None:
    assert dist_info_of([*HONEST, *more], "app-1-py3-none-any.whl") == FOLDER


@pytest.mark.parametrize(
    "more",
    [
        [f"{FOLDER}/./METADATA"],
        [f"{FOLDER}/./WHEEL"],  # even where there is no other
        [f"{FOLDER}//METADATA"],
        [f"app/../{FOLDER}/METADATA"],
        [f"./{FOLDER}/METADATA"],
        [f"{FOLDER}/metadata"],
        [f"{FOLDER}/METADATA", f"{FOLDER}/Record"],
        [f"app-1.data/purelib/{FOLDER}/METADATA"],
        [f"app-1.data/platlib/{FOLDER}/RECORD"],
        ["App-1.dist-info/METADATA"],
        ["app-1.DIST-INFO/METADATA"],
        ["other-1.dist-info/METADATA"],
        ["app-1.data/purelib/other-1.dist-info/METADATA"],
        *([f"app-1.data/{way}/{FOLDER}/METADATA"] for way in LIBRARIES),
        *([f"app-1.data/{way}/other-1.dist-info/METADATA"] for way in LIBRARIES),
        *([f"app-1.data/{way}/other.egg-info"] for way in LIBRARIES),
        ["other.egg-info/PKG-INFO"],
        ["other-1.egg-info"],
        ["app-1.data/purelib/other.EGG-INFO/PKG-INFO"],
        ["app.egg-link"],
        ["app-1.egg/EGG-INFO/PKG-INFO"],
        ["app-1.data/scripts/python3.11"],
        ["app-1.data/scripts/./Python.exe"],
        ["app-1.data/data/bin/python"],
        ["app-1.data/data/pyvenv.cfg"],
    ],
)
def test_no_second_name_leads_to_the_metadata_that_was_verified(more: list[str]) -> None:
    with pytest.raises(FormatError):
        dist_info_of([*HONEST, *more], "app-1-py3-none-any.whl")


@pytest.mark.parametrize("way", ["", "app-1.data/platlib/", f"app-1.data/{LIBRARIES[0]}/"])
def test_no_wheel_takes_the_place_of_what_makes_pip_verify(way: str) -> None:
    """A start-up file of another content would switch it off without a word."""
    for path in Environment(Path("python"), Path("library"), None).files:
        with pytest.raises(FormatError, match="does not belong to its project"):
            dist_info_of([*HONEST, f"{way}{path.name}"], "app-1-py3-none-any.whl")


def test_a_wheel_without_metadata_is_none() -> None:
    with pytest.raises(FormatError, match="not found"):
        dist_info_of(["app/__init__.py"], "app.whl")


@pytest.mark.parametrize("missing", ["METADATA", "WHEEL", "RECORD"])
def test_a_wheel_that_nothing_can_install_is_said_to_be(tmp_path: Path, missing: str) -> None:
    whole, broken = tmp_path / "whole.whl", tmp_path / "broken.whl"
    for path in (whole, broken):
        with zipfile.ZipFile(path, "w") as archive:
            for name in ("METADATA", "WHEEL", "RECORD"):
                if path == whole or name != missing:
                    archive.writestr(f"{FOLDER}/{name}", "")
    check_installable(whole, "app.whl")
    with pytest.raises(FormatError, match=f"has no {missing} in {FOLDER}"):
        check_installable(broken, "app.whl")


@pytest.mark.parametrize("member", ["/x", "../x", "app/../../x"])
def test_a_wheel_with_a_member_that_leads_out_of_its_folder_is_published_by_nobody(
    tmp_path: Path, member: str
) -> None:
    wheel = make_wheel(tmp_path, "app", "1.0", files={member: "", "app/./x/../y": ""})
    with pytest.raises(FormatError, match=re.escape(f"out of its folder: {member!r}")):
        check_installable(wheel, wheel.name)


def test_the_scripts_of_a_wheel_are_those_of_both_groups(tmp_path: Path) -> None:
    text = (
        "[console_scripts]\n one = app:main\n# no = app:main\n\n[other]\nnot = app:x\n"
        "[gui_scripts]\ntwo=app:window\n"
    )
    with zipfile.ZipFile(tmp_path / "app.whl", "w") as archive:
        archive.writestr(f"{FOLDER}/entry_points.txt", text)
    with zipfile.ZipFile(tmp_path / "app.whl") as archive:
        assert script_names(archive, FOLDER) == ("one", "two")
        assert script_names(archive, "other-1.dist-info") == ()


@pytest.mark.parametrize(
    "text",
    [
        "[console_scripts]\n../x = app:main\n",
        "[gui_scripts]\n..\\x = app:main\n",
        # What pip's own reader of such lines makes of them.
        "[console_scripts]\nx = [../x = app:main [a]\n",
        "[console_scripts]\n[odd = a:b\n ../x = app:main\n",
        # What configparser finds, with which Python 3.9 reads them.
        "[console_scripts] ;\n../x = app:main\n",
        "[DEFAULT]\n../x = app:main\n[console_scripts]\n",
    ],
)
def test_no_script_is_made_in_another_folder(tmp_path: Path, text: str) -> None:
    wheel = make_wheel(tmp_path, "app", "1.0", entry_points=text)
    with pytest.raises(FormatError, match="a script in another folder"):
        check_installable(wheel, wheel.name)


@pytest.mark.parametrize("name", ["python", " Python3.14 ", "x = [python"])
def test_no_script_replaces_the_interpreter(tmp_path: Path, name: str) -> None:
    """What is installed after the wheel would be compiled by it, for example."""
    text = f"[console_scripts]\n{name} = app:main [a]\n"
    wheel = make_wheel(tmp_path, "app", "1.0", entry_points=text)
    with pytest.raises(FormatError, match="does not belong to its project"):
        check_installable(wheel, wheel.name)


def test_scripts_may_be_called_like_the_interpreter(tmp_path: Path) -> None:
    text = "[console_scripts]\npython-app = app:main\nipython3=python:main\n"
    wheel = make_wheel(tmp_path, "app", "1.0", entry_points=text)
    check_installable(wheel, wheel.name)


def test_other_entry_points_may_be_called_like_paths(tmp_path: Path) -> None:
    text = "[console_scripts]\nx = app:main\n[types]\ntext/html = app:page\n"
    wheel = make_wheel(tmp_path, "app", "1.0", entry_points=text)
    check_installable(wheel, wheel.name)


@pytest.mark.parametrize("row", ["../x", "/x", "app/../../x", "..", r"..\x", r"C:\x", "C:/x"])
def test_a_record_leads_nowhere_out_of_the_wheel(tmp_path: Path, row: str) -> None:
    wheel = add_to_record(make_wheel(tmp_path, "app", "1.0"), row)
    with pytest.raises(FormatError, match="outside of the wheel's folders"):
        check_installable(wheel, wheel.name)


def test_a_record_is_no_longer_than_what_it_lists(tmp_path: Path) -> None:
    wheel = add_to_record(make_wheel(tmp_path, "app", "1.0"), "\n" * (2 << 20))
    with pytest.raises(FormatError, match="larger than 1052576 bytes"):
        check_installable(wheel, wheel.name)


@pytest.mark.parametrize("name", ["direct_url.json", "Provenance_URL.json"])
def test_no_wheel_states_its_own_origin(tmp_path: Path, name: str) -> None:
    wheel = make_wheel(tmp_path, "app", "1.0", files={f"app-1.0.dist-info/{name}": "{}"})
    with pytest.raises(FormatError, match="only installers write that file"):
        check_installable(wheel, wheel.name)


def test_what_a_record_names_beside_what_the_wheel_holds_is_known(tmp_path: Path) -> None:
    rows = ("other/x.py", "app/", '"a, b"', "./app/__init__.py", "app-1.0.dist-info/RECORD.jws")
    wheel = add_to_record(make_wheel(tmp_path, "app", "1.0"), *rows)
    with zipfile.ZipFile(wheel) as archive:
        assert look_inside(archive, wheel.name).unheld == {"other/x.py", "app/", "a, b"}


def test_no_script_hides_behind_what_is_too_long_to_be_read(tmp_path: Path) -> None:
    text = "[console_scripts]\n" + "\nseen = app:main\n".rjust(1 << 20, "#")[18:]
    path = tmp_path / "app.whl"
    for more in ("", "x"):
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr(f"{FOLDER}/entry_points.txt", text + more)
        with zipfile.ZipFile(path) as archive:
            if not more:
                assert script_names(archive, FOLDER) == ("seen",)
                continue
            with pytest.raises(FormatError, match="is larger than 1048576 bytes"):
                script_names(archive, FOLDER)
