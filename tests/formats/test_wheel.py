"""Which members of a wheel are its metadata, for pip and on the disk."""

from __future__ import annotations

import pytest

from securepip.errors import FormatError
from securepip.formats.wheel import dist_info_of

FOLDER = "app-1.dist-info"
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
    ],
)
def test_a_wheel_has_one_folder_of_metadata(more: list[str]) -> None:
    assert dist_info_of([*HONEST, *more], "app.whl") == FOLDER


@pytest.mark.parametrize(
    "more",
    [
        [f"{FOLDER}/./METADATA"],
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
    ],
)
def test_no_second_name_leads_to_the_metadata_that_was_verified(more: list[str]) -> None:
    with pytest.raises(FormatError):
        dist_info_of([*HONEST, *more], "app.whl")


def test_a_wheel_without_metadata_is_none() -> None:
    with pytest.raises(FormatError, match="not found"):
        dist_info_of(["app/__init__.py"], "app.whl")
