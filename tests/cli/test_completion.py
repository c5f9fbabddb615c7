"""``securepip completion`` and the manual pages: shells and ``man`` can use the output."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from securepip.cli.main import whole_parser
from tests.support.machine import Machine

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        ("securepip ", {"install", "trust", "repo", "completion"}),
        ("securepip repo s", {"sync", "serve", "status"}),
        ("securepip repo sync --min", {"--min-age"}),
        ("securepip install --req", {"--requirement", "--require-hashes", "--require-virtualenv"}),
        ("securepip completion ", {"bash", "zsh", "fish"}),
        ("securepip lock -r req", {"requirements.txt"}),
    ],
)
def test_bash_offers_commands_options_choices_and_files(
    words: str, offered: set[str], machine: Machine, tmp_path: Path
) -> None:
    script = tmp_path / "completion.bash"
    script.write_text(machine.run("completion", "bash").out)
    (tmp_path / "requirements.txt").write_text("")
    ask = f"""
        source {script.name}
        COMP_WORDS=({words} {"''" if words.endswith(" ") else ""})
        COMP_CWORD=$(( ${{#COMP_WORDS[@]}} - 1 ))
        $(complete -p securepip | sed 's/.*-F \\([^ ]*\\).*/\\1/') securepip
        printf '%s\\n' "${{COMPREPLY[@]}}"
    """
    done = subprocess.run(
        ["/bin/bash", "--norc", "-c", ask],
        capture_output=True,
        text=True,
        check=True,
        cwd=tmp_path,
    )
    assert offered <= set(done.stdout.split()), done.stderr


@pytest.mark.parametrize(
    ("shell", "check"),
    [
        ("zsh", ["zsh", "-f", "-n"]),
        ("fish", ["fish", "--no-config", "--no-execute"]),
    ],
)
def test_other_shells_can_read_what_is_for_them(
    shell: str, check: list[str], machine: Machine, tmp_path: Path
) -> None:
    script = machine.run("completion", shell).out
    assert "--min-age" in script or "min-age" in script
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not here")
    (tmp_path / "script").write_text(script)
    subprocess.run([*check, tmp_path / "script"], check=True)


def test_each_command_has_a_manual_page(tmp_path: Path) -> None:
    pytest.importorskip("argparse_manpage", reason="it is in the dependency group docs")
    subprocess.run([sys.executable, ROOT / "scripts" / "man", tmp_path], check=True)
    written = {path.stem for path in tmp_path.iterdir()}
    listed = re.findall(r"^    (\w+) ", whole_parser().format_help(), re.MULTILINE)
    assert written == {"securepip", *(f"securepip-{command}" for command in listed)}
    page = (tmp_path / "securepip-install.1").read_text().replace("\\", "")
    assert "--require-hashes" in page
    man = shutil.which("man")
    if man is not None:
        subprocess.run(
            [man, "--warnings", "-l", *sorted(tmp_path.iterdir())],
            check=True,
            stdout=subprocess.DEVNULL,
        )
