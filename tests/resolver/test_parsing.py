"""What the words of one requirement ask for, by themselves."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from securepip.errors import RequirementError
from securepip.resolver.requirements.parse import parse_editable, parse_requirement
from securepip.resolver.requirements.types import UserRequirement

ADDRESS = "https://packages.example.org/web-1.0-py3-none-any.whl"
A = "a" * 64
HASHED = f"{ADDRESS}#sha256={A}"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the command runs: ``bare`` is no project, and the other folders are."""
    files = {"web": "pyproject.toml", "old": "setup.py", "bare": "README"}
    for name, file in {**files, ".own": "setup.py", "bare/deep": "setup.py"}.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / file).touch()
    (tmp_path / "web-1.0-py3-none-any.whl").touch()
    (tmp_path / "web-1.0.tar.gz").touch()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def named(asked: UserRequirement) -> str:
    return str(asked.requirement)


# ---------------------------------------------------------------------- what is named


@pytest.mark.parametrize(
    ("text", "requirement", "path", "extras"),
    [
        ("./web", "None", "web", set()),
        ("./web[Fast,b]", "None", "web", {"fast", "b"}),
        ("./web [fast]", "None", "web", {"fast"}),
        ("./old", "None", "old", set()),
        (".own", "None", ".own", set()),
        ("bare/deep", "None", "bare/deep", set()),
        ("./web-1.0-py3-none-any.whl", "web==1.0", "web-1.0-py3-none-any.whl", set()),
        ("web-1.0-py3-none-any.whl[x]", "web==1.0", "web-1.0-py3-none-any.whl", {"x"}),
        ("web-1.0.tar.gz", "None", "web-1.0.tar.gz", set()),
        ("web-9.0.tar.gz", "None", "web-9.0.tar.gz", set()),
        ("./a@b/c-1.0.zip", "None", "a@b/c-1.0.zip", set()),
        ("web", "web", None, set()),
        ("web[fast]>=1", "web[fast]>=1", None, {"fast"}),
        ("bare", "bare", None, set()),
    ],
)
def test_a_path_a_file_or_a_project_is_named(
    folder: Path, text: str, requirement: str, path: str | None, extras: set[str]
) -> None:
    asked = parse_requirement(f" {text} ")
    assert named(asked) == requirement
    assert (None if asked.link is None else asked.link.path) == (path and folder / path)
    assert asked.extras == extras
    assert asked.text == text
    assert asked.config_settings == {}


def test_only_a_file_that_is_not_there_is_warned_of(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    parse_requirement("web-1.0.tar.gz")
    assert not caplog.messages
    parse_requirement("web-9.0.tar.gz")
    assert ["the file does not exist" in one for one in caplog.messages] == [True]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("./bare", "is not installable"),
        ("./nowhere", "File './nowhere' does not exist"),
        ("./web-1.0.tar.gz ./x", "Hint: It looks like a path"),
        ("./web-x-y-z-any.whl", "not a valid wheel filename"),
        ("web = 1", r"Did you mean == \?"),
        ("web == ", "Invalid requirement"),
        ("web; python_versio > '3'", "Invalid requirement: 'web'"),
        (f"web; {'(' * 9000}os_name == ''{')' * 9000}", "Invalid requirement: 'web'"),
        ("web[a", "Invalid requirement"),
        ("https://packages.example.org/x.zip#egg=a%20b", "Invalid requirement: 'a b'"),
    ],
)
def test_what_is_not_valid_is_refused_with_a_hint(folder: Path, text: str, words: str) -> None:
    with pytest.raises(RequirementError, match=words):
        parse_requirement(text)


@pytest.mark.parametrize(
    ("text", "has_hint"), [("web = 1 ~= 2", False), ("web!", False), ("web = 1", True)]
)
def test_the_sign_of_equality_is_explained_where_it_is_the_only_one(
    text: str, has_hint: bool
) -> None:
    with pytest.raises(RequirementError) as caught:
        parse_requirement(text)
    assert ("Hint: =" in str(caught.value)) == has_hint
    assert "like a path" not in str(caught.value)


def test_a_file_of_requirements_in_the_place_of_one_is_said_to_be(folder: Path) -> None:
    (folder / "all.txt").touch()
    with pytest.raises(RequirementError, match=r"The path does exist.*use the '-r' flag"):
        parse_requirement("./all.txt")


# ------------------------------------------------------------------------ addresses


def test_an_address_needs_a_strong_hash_unless_nobody_judges_or_a_marker_may_rule_it_out() -> None:
    for text in (ADDRESS, f"web @ {ADDRESS}", f"{ADDRESS}#md5={'0' * 32}"):
        with pytest.raises(RequirementError, match="a direct URL"):
            parse_requirement(text)
        assert parse_requirement(text, must_be_verifiable=False).link is not None
        assert parse_requirement(f"{text} ; python_version < '3'").marker is not None
    assert parse_requirement(HASHED).acceptable == {f"sha256:{A}"}
    assert parse_requirement(f"{ADDRESS}#sha256=a:b").acceptable == {"sha256:a:b"}
    assert parse_requirement(ADDRESS, hashes=[f"sha256:{A.upper()}"]).hashes == {f"sha256:{A}"}
    by_name = parse_requirement(f"web[Fast] @ {HASHED}")
    assert by_name.link is not None
    assert by_name.link.url == ADDRESS
    assert by_name.extras == {"fast"}
    sdist = "https://user@packages.example.org/web-1.0.tar.gz"
    by_name = parse_requirement(f"web @ {sdist}", hashes=[f"sha256:{A}"])
    assert by_name.link is not None
    assert by_name.link.url == sdist
    with pytest.raises(RequirementError, match="version control"):
        parse_requirement("git+https://packages.example.org/web.git#egg=web")
    (egg,) = [parse_requirement(f"https://packages.example.org/x.zip#egg=web&sha256={A}")]
    assert named(egg) == "web"


def test_in_an_address_a_semicolon_begins_a_marker_only_before_a_space() -> None:
    url = f"https://packages.example.org/a;b/web-1.0.zip#sha256={A}"
    assert parse_requirement(url).marker is None
    marked = parse_requirement(f"{url} ; python_version > '3'")
    assert str(marked.marker) == 'python_version > "3"'
    assert marked.link is not None
    assert "a;b" in marked.link.url
    twice = parse_requirement("web; os_name == ';'")
    assert str(twice.marker) == 'os_name == ";"'
    assert parse_requirement("web;").marker is None
    assert named(parse_requirement("web ;")) == "web"


@pytest.mark.parametrize(
    ("value", "is_right"),
    [
        (f"sha256:{A}", True),
        (f"sha384:{'a' * 96}", True),
        (f"sha512:{'a' * 128}", True),
        (f"sha256:{'a' * 65}", False),
        (f"sha384:{'a' * 97}", False),
        (f"sha512:{'a' * 129}", False),
        (f"sha256:{'g' * 64}", False),
        (f"sha256::{A}", False),
    ],
)
def test_a_hash_has_as_many_digits_as_its_kind_has(value: str, is_right: bool) -> None:
    if is_right:
        assert parse_requirement("web", hashes=[value]).hashes == {value}
        return
    with pytest.raises(RequirementError, match="not a 'sha"):
        parse_requirement("web", hashes=[value])
    for unknown in (f"md5:{'0' * 32}", f"x:sha256:{A}", A):
        with pytest.raises(RequirementError, match="Allowed hash algorithms"):
            parse_requirement("web", hashes=[unknown])


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("-r all.txt (line 3)", r" \(from line 3 of all.txt\)"),
        ("-c all.txt (line 3)", r" \(from line 3 of all.txt\)"),
        ("pylock.toml", r" \(from pylock.toml\)"),
        ("", "installed\\.$"),
    ],
)
def test_where_it_is_written_is_said_as_pip_says_it(source: str, words: str) -> None:
    with pytest.raises(RequirementError) as caught:
        parse_requirement(ADDRESS, source)
    assert caught.value.what.endswith("installed.") == (not source)
    caught.match(words if source else "cannot be installed")


# ---------------------------------------------------------- constraints and editables


def test_a_constraint_has_a_name_and_no_extras(folder: Path) -> None:
    assert named(parse_requirement("web<2", constraint=True)) == "web<2"
    assert named(parse_requirement("web[x]<2")) == "web[x]<2"
    with pytest.raises(RequirementError, match="Unnamed"):
        parse_requirement("./web", constraint=True)
    with pytest.raises(RequirementError, match="extras"):
        parse_requirement("web[x]", constraint=True)
    with pytest.raises(RequirementError, match="Editable"):
        parse_editable("./web", constraint=True)


@pytest.mark.parametrize("text", ["./web", "web", "./web[fast]", "web[fast]"])
def test_an_editable_is_a_folder_of_this_machine(folder: Path, text: str) -> None:
    asked = parse_editable(f" {text} ", config_settings={"a": "b"})
    assert asked.editable
    assert asked.link is not None
    assert asked.link.path == folder / "web"
    assert asked.extras == ({"fast"} if "[" in text else set())
    assert asked.config_settings == {"a": "b"}
    assert parse_editable(text).config_settings == {}
    assert parse_requirement("web", config_settings={"a": "b"}).config_settings == {"a": "b"}


def test_an_editable_may_be_named_by_its_address(folder: Path) -> None:
    url = (folder / "web").as_uri()
    asked = parse_editable(f"web[Fast] @ {url} ; python_version > '3'")
    assert named(asked) != "None" or asked.link is not None
    assert asked.extras == {"fast"}
    assert asked.marker is not None
    assert asked.link is not None
    assert asked.link.path == folder / "web"
    assert parse_editable(url).link == parse_editable("./web").link


@pytest.mark.parametrize(
    "text", ["git+https://packages.example.org/web.git#egg=web", "git://packages.example.org/w"]
)
def test_an_editable_of_a_version_control_system_is_refused_as_what_it_is(text: str) -> None:
    with pytest.raises(RequirementError, match="version control system"):
        parse_editable(text)
    found = parse_editable(text, must_be_verifiable=False)
    assert found.link is not None
    assert found.link.url.startswith("git+")
    marked = parse_editable(
        f"web @ {text.partition('#')[0]} ; python_version < '3'", must_be_verifiable=True
    )
    assert marked.marker is not None


@pytest.mark.parametrize("text", [ADDRESS, HASHED, "nowhere"])
def test_an_editable_of_anything_else_is_none(folder: Path, text: str) -> None:
    with pytest.raises(RequirementError, match="not a valid editable"):
        parse_editable(text)
