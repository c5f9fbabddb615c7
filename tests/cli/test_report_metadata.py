"""The metadata in a report is the same as in pip's report, even if it is oddly written."""

from __future__ import annotations

import json
from pathlib import Path

from tests.support.machine import Machine
from tests.support.repositories import MadeRepository, serve
from tests.support.wheels import make_wheel

ODD = """\
Metadata-Version: 2.1\r
Name: odd\r
Version: 1.0\r
Summary: Größe, 大きさ\r
License: Several lines\r
        \r
        of which each is indented\r
          and one further\r
Keywords: one,two , three\r
Classifier: Topic :: Utilities\r
Project-URL: Home, https://packages.example.org/odd\r
\r
Lines that end as on Windows.\r
Ümlauts too.\r
"""


def test_several_lines_other_line_ends_and_letters_beyond_ascii_are_read_as_pip_reads_them(
    machine: Machine, made: MadeRepository, tmp_path: Path
) -> None:
    made.add(make_wheel(tmp_path, "odd", "1.0", metadata=ODD))
    machine.trust(made, str(made.folder))
    ours, theirs = tmp_path / "ours.json", tmp_path / "theirs.json"
    options = ("--dry-run", "--no-compile", "odd", "--report")
    assert machine.install(*options, ours).code == 0
    with serve(made.folder) as url:
        assert machine.pip_install(f"{url}simple/", *options, theirs).code == 0
    read = [json.loads(path.read_text())["install"][0]["metadata"] for path in (ours, theirs)]
    assert read[0] == read[1]
    assert read[0]["license"] == "Several lines\n\nof which each is indented\n  and one further"
