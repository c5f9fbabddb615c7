"""Whatever a lock file holds, reading it ends in requirements or in an error for people."""

from __future__ import annotations

from datetime import datetime, timezone
from pathlib import Path

import pytest
import tomli_w
from hypothesis import given, settings
from hypothesis import strategies as st

from securepip.errors import RequirementError, SecurepipError
from securepip.lock import is_lock_file, read_locks
from securepip.resolver import TargetEnvironment, probe

HEAD = 'lock-version = "1.0"\ncreated-by = "a test"\n'
TEXTS = st.one_of(
    st.text(max_size=20),
    st.sampled_from(
        [
            "app", "1.0", "2", "../x", "/x/app-1.0.tar.gz", "app-1.0.tar.gz", "http://[",
            "app-1.0-py3-none-any.whl", "https://packages.example.org/app-1.0.tar.gz", "git",
            "file:///x/app-1.0-py3-none-any.whl", "file://other/x", "a" * 64, "sha256:", "\0",
            "python_version > '3'", "'x' in extras", "extra == 'x'", "app; x", "http://h:port/",
        ]
    ),
)  # fmt: skip
KEYS = st.sampled_from(
    [
        "url", "path", "hashes", "name", "size", "upload-time", "subdirectory", "editable", "type",
        "commit-id", "sha256",
    ]
)  # fmt: skip
SCALARS = st.one_of(
    TEXTS, st.integers(-5, 5), st.booleans(), st.datetimes(), st.floats(allow_nan=False)
)
HASHES = st.dictionaries(st.sampled_from(["sha256", "sha512", "md5"]), TEXTS, max_size=2)
SOURCES = st.dictionaries(KEYS, st.one_of(SCALARS, HASHES), max_size=6)
LIKELY = st.fixed_dictionaries(
    {"url": TEXTS, "hashes": HASHES},
    optional={"name": TEXTS, "path": TEXTS, "size": SCALARS, "upload-time": st.datetimes()},
)
PACKAGES = st.fixed_dictionaries(
    {"name": st.one_of(st.just("app"), TEXTS)},
    optional={
        "version": TEXTS,
        "marker": TEXTS,
        "requires-python": TEXTS,
        "wheels": st.lists(st.one_of(LIKELY, SOURCES), max_size=2),
        "sdist": st.one_of(LIKELY, SOURCES),
        "archive": st.one_of(LIKELY, SOURCES),
        "directory": SOURCES,
        "vcs": SOURCES,
    },
)
LOCKS = st.fixed_dictionaries(
    {"lock-version": st.just("1.0"), "created-by": TEXTS, "packages": st.lists(PACKAGES)},
    optional={"environments": st.lists(TEXTS), "requires-python": TEXTS, "extras": SCALARS},
)


@pytest.fixture(scope="module")
def environment() -> TargetEnvironment:
    return probe()


@given(data=st.one_of(st.binary(max_size=200), st.text(max_size=200).map(str.encode)))
def test_what_is_no_lock_is_refused(
    environment: TargetEnvironment, tmp_path: Path, data: bytes
) -> None:
    place = tmp_path / "pylock.toml"
    place.write_bytes(data)
    with pytest.raises(RequirementError, match="pylock"):
        read_locks([str(place)], environment)


@given(lock=LOCKS, remote=st.booleans())
@settings(max_examples=100)
def test_a_lock_of_any_contents_is_read_or_refused(
    environment: TargetEnvironment, tmp_path: Path, lock: dict[str, object], remote: bool
) -> None:
    data = tomli_w.dumps(lock).encode("utf-8", errors="surrogatepass")
    place = str(tmp_path / "pylock.toml")
    Path(place).write_bytes(data)
    name = "https://packages.example.org/pylock.toml" if remote else place
    try:
        locked = read_locks([name], environment, lambda url: data)
    except SecurepipError:
        return
    for file in locked.files:
        assert not (remote and file.path is not None)
    for asked in locked.requirements:
        assert asked.link is None or asked.acceptable or asked.link.path is not None
        assert not (remote and asked.link is not None and asked.link.path is not None)


def test_nesting_without_end_and_files_without_end_are_refused(
    environment: TargetEnvironment, tmp_path: Path
) -> None:
    place = tmp_path / "pylock.toml"
    place.write_text(f"{HEAD}x = {'[' * 100_000}")
    with pytest.raises(RequirementError, match="Invalid pylock file"):
        read_locks([str(place)], environment)
    with pytest.raises(RequirementError, match="larger than"):
        read_locks(["/dev/zero"], environment)
    with pytest.raises(RequirementError, match="Error reading pylock file"):
        read_locks([str(tmp_path / "pylock.nowhere.toml")], environment)
    with pytest.raises(RequirementError, match="Error reading pylock file"):
        read_locks(["https://packages.example.org/pylock.toml"], environment)


def test_a_server_may_send_no_lock_that_takes_gigabytes(environment: TargetEnvironment) -> None:
    locks = ["https://packages.example.org/pylock.toml"]
    longest = f"{HEAD}packages = []\n#".ljust(4 << 20, "x").encode()
    read_locks(locks, environment, lambda _: longest)
    with pytest.raises(RequirementError, match="larger than 4194304 bytes, the most that a server"):
        read_locks(locks, environment, lambda _: longest + b"x")


def test_a_time_without_a_zone_is_in_utc(environment: TargetEnvironment, tmp_path: Path) -> None:
    place = tmp_path / "pylock.toml"
    place.write_text(
        f'{HEAD}[[packages]]\nname = "app"\n[packages.sdist]\n'
        'url = "https://packages.example.org/app-1.0.tar.gz"\n'
        f'upload-time = 2020-01-01T00:00:00\nhashes = {{ sha256 = "{"0" * 64}" }}\n'
    )
    (file,) = read_locks([str(place)], environment).files
    assert file.upload_time == datetime(2020, 1, 1, tzinfo=timezone.utc)


def test_a_folder_inside_an_archive_may_have_any_name(
    environment: TargetEnvironment, tmp_path: Path
) -> None:
    place = tmp_path / "pylock.toml"
    place.write_text(
        f'{HEAD}[[packages]]\nname = "app"\n[packages.archive]\nsubdirectory = "my & pkg; x"\n'
        f'path = "app-1.0.tar.gz"\nhashes = {{ sha256 = "{"0" * 64}" }}\n'
    )
    (asked,) = read_locks([str(place)], environment).requirements
    assert asked.link is not None
    assert asked.link.subdirectory == "my & pkg; x"
    assert asked.marker is None


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("pylock.toml", True),
        ("locks/pylock.dev.toml", True),
        ("https://packages.example.org/pylock.toml?token=x", True),
        ("file:///x/pylock.toml", True),
        ("pylock.a.b.toml", False),
        ("requirements.txt", False),
        ("https://packages.example.org/requirements.txt?pylock.toml", False),
        ("poetry.lock", False),
    ],
)
def test_a_lock_file_is_known_by_its_name(name: str, expected: bool) -> None:
    assert is_lock_file(name) is expected


def test_no_extra_is_selected_and_the_default_groups_are(
    environment: TargetEnvironment, tmp_path: Path
) -> None:
    place = tmp_path / "pylock.toml"
    package = (
        '[[packages]]\nname = "{0}"\nmarker = "{1}"\n[packages.sdist]\n'
        'url = "https://packages.example.org/{0}-1.0.tar.gz"\n'
        f'hashes = {{{{ sha256 = "{"0" * 64}" }}}}\n'
    )
    place.write_text(
        f'{HEAD}extras = ["x"]\ndependency-groups = ["dev", "docs"]\ndefault-groups = ["dev"]\n'
        + package.format("a", "'x' in extras")
        + package.format("b", "'dev' in dependency_groups")
        + package.format("c", "'docs' in dependency_groups")
    )
    assert [file.project for file in read_locks([str(place)], environment).files] == ["b"]
