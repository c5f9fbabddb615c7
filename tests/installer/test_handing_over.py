"""What pip is told to install, and what is read from what it says."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from packaging.utils import canonicalize_name

from securepip.installer import handoff
from securepip.installer.handoff import InstallOptions


@pytest.mark.parametrize(
    ("options", "location", "arguments"),
    [
        (InstallOptions(), {}, []),
        (InstallOptions(user=True), {"user": "1"}, ["--user"]),
        (InstallOptions(target="t"), {"target": "t"}, ["--target=t"]),
        (
            InstallOptions(prefix="p", root="", pip_arguments=("--x",)),
            {"prefix": "p", "root": ""},
            ["--prefix=p", "--root=", "--x"],
        ),
        (
            InstallOptions(user=True, root="r"),
            {"root": "r", "user": "1"},
            ["--root=r", "--user"],
        ),
    ],
)
def test_pip_is_told_where_to_install(
    options: InstallOptions, location: dict[str, str], arguments: list[str]
) -> None:
    assert options.location == location
    assert options.arguments() == arguments


def test_each_process_is_told_its_share_with_hashes_and_nothing_else(tmp_path: Path) -> None:
    names = [canonicalize_name(name) for name in ("a", "b", "c")]
    files: list[Any] = [
        SimpleNamespace(
            planned=SimpleNamespace(project=name, version="1.0"),
            wheel=SimpleNamespace(sha256=name * 64),
        )
        for name in names
    ]
    told = handoff._write_requirements(files, tmp_path, [names[:2], names[2:]])
    first, second = (tmp_path / f"requirements-{at}.txt" for at in range(2))
    assert told == [[f"--requirement={first}"], [f"--requirement={second}"]]
    lines = [f"{name}==1.0 --hash=sha256:{name * 64}\n" for name in names]
    assert first.read_text() == "".join(lines[:2])
    assert second.read_text() == lines[2]


def test_what_pip_says_of_what_it_replaces_is_said_once_for_several_processes() -> None:
    margin = handoff._MARGIN
    said = "\n".join(
        [
            "Installing collected packages: a",
            f"{margin} because normal site-packages is not writeable",
            "    Found existing installation: a 1.0",
            "    Uninstalling a-1.0:",
            f"{margin} because normal site-packages is not writeable",
            "    Uninstalling a-1.0:",
            "Successfully installed a-2.0",
        ]
    )
    assert handoff._replaced(said) == (
        f"{margin} because normal site-packages is not writeable",
        "    Found existing installation: a 1.0",
        "    Uninstalling a-1.0:",
        "    Uninstalling a-1.0:",
    )
