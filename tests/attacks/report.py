"""The attack table: which attacks are tried, by which ways in, and with which outcome.

    python -m tests.attacks.report [--write FILE] [PYTEST ARGUMENT…]

Runs every test that the ``attack`` mark names, and prints the table. Ends with 1 if a test fails.
"""

from __future__ import annotations

import argparse
import sys
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.attacks.marks import APPENDIX_A, BEYOND, PIP_WITHSTANDS, PLAIN_PIP, WAYS

_TESTS = Path(__file__).parents[1]
_PAGE = """# Attacks that are tried

This page is written by `python -m tests.attacks.report --write docs/attacks.md`, which runs them.
A number is the count of cases that were tried and withstood; with plain pip, of those in which the
attacker got what he wanted. The exit codes are those of the laboratory, which tries each attack by
each way in: 3 is a failed verification, and 0 an attack that was passed over, so that the genuine
release was obtained, and nothing else. The plugin ends as pip does, with 1.

An empty cell is one that no test tries, or that cannot be:

- First use has no signatures of somebody else that an attacker could replay, delay or forge.
- A lock needs no wheel where the signed page tells its metadata, and fetches none: it ends with 0.
- The gateway opens no wheel and has no options; what its tool is told is `past the gateway`.
- The plugin runs in a process of its own, whose clock and limits of time no test sets.
- Plain pip refuses a wheel that is not what the page of the same server tells of it.
"""


@dataclass
class Collector:
    """Counts the outcomes as pytest tells of them.

    Attributes:
        cases: Passed cases by kind and way.
        codes: Their exit codes, where a test records one.
        failed: The tests that failed.
    """

    cases: dict[tuple[str, str], int] = field(default_factory=lambda: defaultdict(int))
    codes: dict[tuple[str, str], set[int]] = field(default_factory=lambda: defaultdict(set))
    failed: list[str] = field(default_factory=list)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Count one test; a set-up that fails is a failure as well."""
        if report.failed:
            self.failed.append(report.nodeid)
        if report.when == "call" and report.passed:
            self.count(report.user_properties)

    def count(self, properties: Sequence[tuple[str, object]]) -> None:
        """Count what one passed test says of itself."""
        codes = {int(str(code)) for name, code in properties if name == "outcome"}
        for name, value in properties:
            if name != "attack" or not isinstance(value, (list, tuple)):
                continue
            kind, ways = value
            for way in ways:
                self.cases[kind, way] += 1
                self.codes[kind, way] |= codes


def table(found: Collector, kinds: dict[str, str]) -> str:
    """The table of some kinds, as Markdown."""
    lines = [f"| attack | {' | '.join(WAYS)} |", f"|---|{'---|' * len(WAYS)}"]
    for kind, words in kinds.items():
        cells = [_cell(found, kind, way) for way in WAYS]
        lines.append(f"| **{kind}**: {words} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _cell(found: Collector, kind: str, way: str) -> str:
    count, codes = found.cases.get((kind, way), 0), sorted(found.codes.get((kind, way), ()))
    if way == PLAIN_PIP:
        return f"falls for it, {count}" if count else PIP_WITHSTANDS.get(kind, "")
    if not count:
        return ""
    code = f", exit {' or '.join(map(str, codes))}" if codes and codes != [0] else ""
    return f"{count}{code}"


def main() -> int:
    """Run the tests, print the table, and write the page if asked."""
    parser = argparse.ArgumentParser(prog="python -m tests.attacks.report", description=__doc__)
    parser.add_argument("--write", type=Path, metavar="FILE", help="write the page for the docs")
    options, words = parser.parse_known_args()
    found = Collector()
    always = ["-q", "-m", "attack", "-p", "no:randomly", str(_TESTS)]
    ended = pytest.main([*always, "--numprocesses", "auto", *words], plugins=[found])
    page = (
        f"{_PAGE}\n## PEP 458, Appendix A\n\n{table(found, APPENDIX_A)}"
        f"\n## Beyond it\n\n{table(found, BEYOND)}"
        f"\n{sum(found.cases.values())} cases.\n"
    )
    print(page)
    if options.write and not found.failed:
        options.write.write_text(page)
    return 1 if ended or found.failed else 0


if __name__ == "__main__":
    sys.exit(main())
