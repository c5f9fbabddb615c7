"""Details of pip that its users rely on: its output, and the files that it leaves."""

from __future__ import annotations

import tarfile
import zipfile
from pathlib import Path

from securepip.formats.digests import sha256_of
from tests.support.hostile import HostileServer
from tests.support.machine import Machine
from tests.support.wheels import make_sdist, make_wheel


def _project(folder: Path) -> Path:
    """An unpacked source distribution, which builds without a network."""
    sdist = make_sdist(folder / "made", "My.App", "1.0", metadata_version="2.1")
    with tarfile.open(sdist) as packed:
        packed.extractall(folder, filter="data")
    return folder / "my_app-1.0"


def test_an_extra_that_is_not_there_is_warned_of_once(client: Machine) -> None:
    done = client.install("app[nope,absent]", "--no-compile")
    assert done.code == 0, done.err
    assert done.err.splitlines() == [
        "WARNING: app 2.0 does not provide the extra 'absent'",
        "WARNING: app 2.0 does not provide the extra 'nope'",
    ]


def test_verbose_says_which_pip_installs(client: Machine) -> None:
    assert "Using pip " in client.install("app", "--dry-run", "-v").out
    assert "Using pip " not in client.install("app", "--dry-run").out


def test_a_folder_with_another_project_than_its_address_says_is_refused(
    client: Machine, tmp_path: Path
) -> None:
    done = client.install(f"{_project(tmp_path).as_uri()}#egg=other", "--no-build-isolation")
    assert done.code == 1
    assert "has inconsistent name: expected 'other', but metadata has 'my-app'" in done.out
    assert "WARNING: Generating metadata for package other produced metadata" in done.err
    assert "ERROR: No matching distribution found for other (unavailable)" in done.err


def test_metadata_in_no_encoding_is_named_with_its_wheel(client: Machine, tmp_path: Path) -> None:
    wheel = make_wheel(tmp_path, "odd", "1.0")
    odd = tmp_path / "again" / wheel.name
    odd.parent.mkdir()
    with zipfile.ZipFile(wheel) as read, zipfile.ZipFile(odd, "w") as written:
        for name in read.namelist():
            data = read.read(name)
            written.writestr(name, data + b"\xff" if name.endswith("METADATA") else data)
    done = client.install(odd)
    assert done.code == 1
    assert f"Error decoding metadata for {odd}: 'utf-8' codec can't decode" in done.err


def test_requirements_that_cannot_be_fetched_say_so_in_pips_word(client: Machine) -> None:
    for name in ("pylock.toml", "requirements.txt"):
        done = client.install("-r", f"http://127.0.0.1:1/{name}", "--retries", "0")
        assert done.code == 1
        assert "connection-failed" in done.err
        assert f"http://127.0.0.1:1/{name}" in done.err


def test_a_requirements_file_that_is_not_there_is_told_in_pips_words(
    client: Machine, tmp_path: Path
) -> None:
    nowhere = tmp_path / "nowhere.txt"
    for name, said in (
        (nowhere.as_uri(), f"404 Client Error: FileNotFoundError for url: {nowhere.as_uri()}"),
        (str(nowhere), "Could not open requirements file: [Errno 2] No such file or directory"),
    ):
        done = client.install("-r", name)
        assert (done.code, said in done.err) == (1, True), done.err


def test_who_says_more_is_told_which_error_was_raised(client: Machine) -> None:
    done = client.install("app>9", "-vv")
    assert "\nDistributionNotFound: No matching distribution found for app>9\n" in done.out
    assert "DistributionNotFound" not in client.install("app>9", "-v").out


def test_the_legacy_resolver_is_none_of_ours(client: Machine) -> None:
    words = ("app", "--dry-run", "--use-deprecated=legacy-resolver")
    done = client.install(*words)
    assert done.code == 0, done.err
    assert "Not using the legacy resolver" in done.out
    done = client.install(*words, "--only-deps")
    assert done.code == 1
    assert "'--only-dependencies' in combination with '--use-deprecated legacy-res" in done.err


def test_a_python_that_another_tool_manages_is_left_alone_before_anything_is_fetched(
    client: Machine, hostile: HostileServer
) -> None:
    # The interpreter itself says that it is no virtual environment, and where its library is.
    library = client.folder / "library"
    library.mkdir()
    (packages,) = client.environment.glob("lib/python*/site-packages")
    (packages / "managed.pth").write_text(
        "import sys, sysconfig; sys.base_prefix = sys.prefix; "
        "sysconfig.get_path = lambda name, *a, old=sysconfig.get_path, **k: "
        f"{str(library)!r} if name == 'stdlib' else old(name, *a, **k)\n"
    )
    assert client.install("app", "--dry-run").code == 0
    marker = library / "EXTERNALLY-MANAGED"
    hostile.seen.clear()
    for text, said in (
        ("[externally-managed]\nError=Ask the administrator.\n", "╰─> Ask the administrator."),
        ("nothing of the kind", "╰─> The Python environment under this interpreter is managed"),
    ):
        marker.write_text(text)
        for option in ("--no-deps", "--dry-run", "--user"):
            done = client.install("app", option)
            assert (done.code, said in done.err) == (1, True), done.err
            assert "by passing --break-system-packages." in done.err
    assert not hostile.seen
    for words in (
        ("--dry-run", "--break-system-packages"),
        ("--dry-run", "--target", str(client.folder / "elsewhere")),
        ("--dry-run", "--report", "-"),
    ):
        assert client.install("app", *words).code == 0


class TestDownload:
    def test_the_folder_of_an_editable_is_packed(self, client: Machine, tmp_path: Path) -> None:
        project, wanted = _project(tmp_path), tmp_path / "wanted.txt"
        wanted.write_text(f"-e {project}\n")
        # Into the project itself: the archive must not pack itself.
        for _ in range(2):
            done = client.run(
                *("download", "-r", wanted, "-d", project / "kept", "--no-deps"),
                *("--no-build-isolation", "--python", client.environment),
            )
            assert done.code == 0, done.err
        (archive,) = (project / "kept").iterdir()
        assert archive.name == "My.App-1.0.zip"
        with zipfile.ZipFile(archive) as packed:
            assert {"My.App/PKG-INFO", "My.App/my_app/__init__.py"} <= set(packed.namelist())

    def test_what_is_there_with_the_hash_that_was_named_is_not_taken_again(
        self, client: Machine, tmp_path: Path
    ) -> None:
        here = make_wheel(tmp_path / "kept", "lib", "1.0")
        url = f"https://packages.example.org/{here.name}#sha256={sha256_of(here.read_bytes())}"
        download = ("download", url, "-d", tmp_path / "kept", "--retries", "0")
        done = client.run(*download)
        assert done.code == 0, done.err
        assert "File was already downloaded" in done.out
        here.write_bytes(here.read_bytes() + b"changed")
        done = client.run(*download, "--timeout", "1")
        assert done.code == 1
        assert "could not be fetched" in done.err
