"""The commands `securepip trust …`."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest

from tests.support.hostile import HostileServer
from tests.support.machine import Machine
from tests.support.repositories import MadeRepository, make_repository
from tests.support.wheels import make_wheel


def test_without_a_root_nothing_is_asked_of_the_repository_and_no_fingerprint_shown(
    machine: Machine, shared_repository: MadeRepository, hostile: HostileServer
) -> None:
    done = machine.run("trust", "add", "made", hostile.url)
    assert done.code == 2
    assert hostile.seen == []
    assert "publish the fingerprint" in done.err
    assert f"securepip trust add made {hostile.url} --root-sha256 FINGERPRINT" in done.err
    assert not re.search("[0-9a-f]{64}", done.err + done.out)
    assert "No repository is trusted yet" in machine.run("trust", "list").out


@pytest.mark.parametrize("fingerprint", ["0" * 64, "f" * 64])
def test_a_wrong_fingerprint_is_refused_and_the_right_one_not_told(
    machine: Machine, shared_repository: MadeRepository, hostile: HostileServer, fingerprint: str
) -> None:
    done = machine.run("trust", "add", "made", hostile.url, "--root-sha256", fingerprint)
    assert done.code == 3
    assert hostile.url in done.err
    assert shared_repository.root_sha256 not in done.err + done.out
    assert "No repository is trusted yet" in machine.run("trust", "list").out
    assert machine.install("app").code == 1


@pytest.mark.parametrize("fingerprint", ["", "abc", "g" * 64, "0" * 63, "sha1:" + "0" * 40])
def test_what_is_no_fingerprint_is_a_usage_error(machine: Machine, fingerprint: str) -> None:
    location = "https://packages.example.org/"
    done = machine.run("trust", "add", "made", location, "--root-sha256", fingerprint)
    assert done.code == 2
    assert "64 hexadecimal digits" in done.err


def test_a_root_file_that_is_no_root_is_refused(
    machine: Machine, made: MadeRepository, hostile: HostileServer, tmp_path: Path
) -> None:
    timestamp = made.folder / "metadata" / "timestamp.json"
    (tmp_path / "empty").write_bytes(b"")
    for wrong in (timestamp, tmp_path / "empty", tmp_path / "missing", tmp_path):
        done = machine.run("trust", "add", "made", hostile.url, "--root", wrong)
        assert done.code in (1, 2), done
        assert done.err.startswith("ERROR: ")
    assert "No repository is trusted yet" in machine.run("trust", "list").out


def test_list_says_at_a_glance_who_is_believed_and_which_pip_verifies(
    machine: Machine, made: MadeRepository, tmp_path: Path
) -> None:
    before = machine.run("trust", "list", PATH=str(tmp_path))
    assert "No repository is trusted yet" in before.out
    machine.trust(made, made.folder.as_uri(), "company")
    # Two environments with what looks like a pip; one has what starts the plugin.
    shutil.copytree(machine.environment, tmp_path / "second", symlinks=True)
    for environment in (machine.environment, tmp_path / "second"):
        (packages,) = (environment / "lib").glob("python*/site-packages")
        (packages / "pip-26.0.dist-info").mkdir()
        metadata = packages / "pip-26.0.dist-info" / "METADATA"
        metadata.write_text("Metadata-Version: 2.1\nName: pip\nVersion: 26.0\n")
    (packages / "securepip-plugin.pth").touch()
    here = {"PATH": str(machine.environment / "bin"), "VIRTUAL_ENV": str(tmp_path / "second")}
    on, off = tmp_path / "second" / "bin" / "python", machine.environment / "bin" / "python"
    listed = machine.run("trust", "list", **here).out
    assert f"  {on}  pip 26.0  plugin on: verifies\n" in listed
    assert f"  {off}  pip 26.0  plugin off: verifies nothing\n" in listed
    told = json.loads(machine.run("trust", "list", "--json", "--python", off, **here).out)
    assert told["pythons"] == [
        {"python": str(off), "pip": "26.0", "plugin": False},
        {"python": str(on), "pip": "26.0", "plugin": True},
    ]
    (company,) = told["repositories"]
    assert (company["name"], company["kind"], company["projects"]) == ("company", "operator", ["*"])
    assert company["fresh_until"] > company["last_news"] > "20"


def test_list_show_refresh_and_remove(
    machine: Machine, made: MadeRepository, hostile: HostileServer, tmp_path: Path
) -> None:
    hostile.folder = made.folder
    with_password = hostile.url.replace("http://", "http://user:hidden@")
    added = machine.run(
        "trust", "add", "made", with_password, "--root", made.root,
        "--index-url", "https://user:hidden@packages.example.org/simple/",
    )  # fmt: skip
    assert added.code == 0, added.err
    listed = machine.run("trust", "list").out
    assert listed.startswith(f"made  {hostile.url}\n  signed:  by those who run it\n")
    assert "  for:     any project\n  fresh:   until 20" in listed
    shown = machine.run("trust", "show", "made").out
    assert made.root_sha256 in shown
    assert re.search(r"timestamp:\s+version 2,", shown)
    assert machine.run("trust", "refresh", "made").out == "made is up to date.\n"
    made.add(make_wheel(tmp_path / "new", "app", "3.0"))
    assert machine.run("trust", "refresh").code == 0
    shown = machine.run("trust", "show", "made").out
    assert re.search(r"timestamp:\s+version 3, valid until 20", shown)
    assert "https://packages.example.org/simple/" in shown
    assert "hidden" not in shown + added.out + added.err
    assert machine.run("trust", "remove", "made").out == "No longer trusted: made.\n"
    assert not (tmp_path / "data" / "trust" / "made").exists()
    for verb in ("show", "remove", "refresh"):
        done = machine.run("trust", verb, "made")
        assert done.code == 2
        assert "no trusted repository is called 'made'" in done.err


def test_a_repository_is_trusted_although_it_cannot_be_asked_yet(
    machine: Machine, made: MadeRepository, hostile: HostileServer
) -> None:
    """With its root at hand the network may come later: an image is built before it runs."""
    hostile.withhold(".*", 503)
    done = machine.run("trust", "add", "made", hostile.url, "--root", made.root)
    assert done.code == 0
    assert "could not be asked yet" in done.err
    hostile.honest()
    assert machine.install("--dry-run", "app").code == 0


def test_one_of_several_repositories_can_be_asked_alone(
    client: Machine, made: MadeRepository, tmp_path: Path
) -> None:
    made.add(make_wheel(tmp_path / "new", "app", "3.0"))
    client.trust(made, str(made.folder), "second")
    assert client.install("--dry-run", "app").out.endswith("Would install app-2.0 lib-1.0\n")
    chosen = client.install("--dry-run", "--repository", "second", "app")
    assert chosen.out.endswith("Would install app-3.0\n")
    unknown = client.install("--repository", "third", "app")
    assert unknown.code == 2
    assert "there are: made, second" in unknown.err


def test_a_repository_that_is_trusted_already_is_confirmed_or_gets_more_index_urls(
    machine: Machine, made: MadeRepository, hostile: HostileServer, tmp_path: Path
) -> None:
    hostile.folder = made.folder
    add = ("trust", "add", "made", hostile.url)
    root = ("--root-sha256", made.root_sha256)
    one, two, three = (f"https://packages.example.org/{n}/simple/" for n in (1, 2, 3))
    assert machine.run(*add, *root, "--index-url", one, "--index-url", two).code == 0
    state = (tmp_path / "data" / "trust" / "made" / "metadata" / "timestamp.json").read_bytes()
    done = machine.run(*add, *root)
    assert (done.code, done.out) == (0, "Trusted already: made, with this root.\n")
    assert machine.run(*add, *root, "--index-url", three).code == 0
    shown = machine.run("trust", "show", "made").out
    assert re.findall(r"Index URL: +(\S+)", shown) == [one, two, three]
    for url in (one, two, three):
        assert machine.install("--dry-run", "--index-url", url, "app").code == 0
    # What was seen stays: the same repository in an older state is refused.
    made.add(make_wheel(tmp_path / "new", "app", "3.0"))
    assert machine.run(*add, *root).code == 0
    hostile.alter(r"metadata/timestamp.json", lambda data: state)
    done = machine.run(*add, *root, "--index-url", "https://packages.example.org/4/simple/")
    assert done.code == 3
    assert "/4/simple/" not in machine.run("trust", "show", "made").out


def test_another_repository_does_not_take_the_place_of_one_that_is_trusted(
    machine: Machine, made: MadeRepository, tmp_path: Path
) -> None:
    machine.trust(made, str(made.folder))
    other = make_repository(tmp_path / "other", make_wheel(tmp_path / "built", "app", "9.0"))
    words = ("trust", "add", "made", str(other.folder), "--root-sha256", other.root_sha256)
    done = machine.run(*words)
    assert done.code == 2
    assert "has another root" in done.err
    assert "trust remove made" in done.err
    assert machine.install("--dry-run", "app").out.endswith("Would install app-2.0 lib-1.0\n")


def test_mirrors_are_kept_until_others_are_named_and_stand_for_the_repository(
    machine: Machine, made: MadeRepository, hostile: HostileServer, tmp_path: Path
) -> None:
    hostile.folder = made.folder
    own = made.folder.as_uri() + "/"
    with_password = hostile.url.replace("http://", "http://user:hidden@")
    add = ("trust", "add", "made", str(made.folder), "--root-sha256", made.root_sha256)
    given = ("--mirror", with_password, "--mirror", own, "--mirror", f"{hostile.url}gone")
    assert machine.run(*add, *given).code == 0

    def mirrors() -> list[str]:
        shown = machine.run("trust", "show", "made")
        assert "hidden" not in shown.out
        (listed,) = json.loads(machine.run("trust", "list", "--json").out)["repositories"]
        assert listed["mirrors"] == re.findall(r"Mirror: +(\S+)", shown.out)
        return [str(one) for one in listed["mirrors"]]

    document = json.loads((tmp_path / "data" / "trust" / "map.json").read_text())
    assert document["repositories"] == {"made": [own, with_password, f"{hostile.url}gone/"]}
    both = [hostile.url, f"{hostile.url}gone/"]
    assert mirrors() == both
    assert f"  mirrors: {', '.join(both)}\n" in machine.run("trust", "list").out
    assert machine.run(*add).out.startswith("Trusted already: made, with this root.\n")
    assert mirrors() == both
    index = machine.install("--dry-run", "--index-url", f"{hostile.url}simple/", "app")
    assert index.code == 0, index.err
    assert machine.run(*add, "--mirror", f"{hostile.url}new/").code == 0
    assert mirrors() == [f"{hostile.url}new/"]
    assert machine.run(*add, "--no-mirrors").code == 0
    assert mirrors() == []
    assert machine.run(*add, "--no-mirrors", "--mirror", hostile.url).code == 2


def test_a_root_is_found_at_a_mirror_where_the_first_place_does_not_answer(
    machine: Machine, made: MadeRepository, hostile: HostileServer
) -> None:
    hostile.withhold(".*", 503)
    words = ("trust", "add", "made", hostile.url, "--root-sha256", made.root_sha256)
    assert machine.run(*words).code == 1
    done = machine.run(*words, "--mirror", str(made.folder))
    assert done.code == 0, done.err
    assert f"{hostile.url} is passed over" in done.err
    again = machine.run(*words)
    assert again.out.startswith("Trusted already: made, with this root.\n"), again.err
    moved = ("trust", "add", "made", str(made.folder), "--root-sha256", made.root_sha256)
    assert machine.run(*moved).code == 0
    assert "Mirror:" not in machine.run("trust", "show", "made").out
