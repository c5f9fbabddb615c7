"""Prints the attack table: the attacks, the ways in, and the outcomes.

    python -m tests.attacks.report [--write FILE] [PYTEST ARGUMENT…]

Runs every test that has the ``attack`` mark, and prints the table. Ends with 1 if a test fails.
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
_PAGE = """# Attacks that the tests try

`python -m tests.attacks.report --write docs/attacks.md` runs the attacks and writes this page.
A number counts the cases in which the attack failed; for plain pip, those in which it worked. The
exit codes are those of the laboratory, which tries each attack by each way in. 3 means that
verification failed. 0 means that the attack had no effect: the genuine release was obtained, and
nothing else. The plugin ends with pip's code, which is 1.

A cell is empty if no test tries the attack there, or if the attack cannot be made there:

- With first use, nobody else has signed anything that an attacker could replay, delay or forge.
- `lock` fetches no wheel if the signed page names its metadata: it ends with 0.
- The gateway installs nothing and has no options. `past the gateway` tries its tool's options.
- The plugin runs in a new process, in which a test cannot set the clock or the time limits.
- Plain pip refuses a wheel that does not fit the page from the same server.
"""


@dataclass
class Collector:
    """A pytest plugin that counts the outcomes.

    Attributes:
        cases: The number of passed cases, by kind and way.
        codes: Their exit codes, if a test records one.
        failed: The tests that failed.
    """

    cases: dict[tuple[str, str], int] = field(default_factory=lambda: defaultdict(int))
    codes: dict[tuple[str, str], set[int]] = field(default_factory=lambda: defaultdict(set))
    failed: list[str] = field(default_factory=list)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Count one test. A failed set-up is a failure as well."""
        if report.failed:
            self.failed.append(report.nodeid)
        if report.when == "call" and report.passed:
            self.count(report.user_properties)

    def count(self, properties: Sequence[tuple[str, object]]) -> None:
        """Count a passed test by its marks."""
        codes = {int(str(code)) for name, code in properties if name == "outcome"}
        for name, value in properties:
            if name != "attack" or not isinstance(value, (list, tuple)):
                continue
            kind, ways = value
            for way in ways:
                self.cases[kind, way] += 1
                self.codes[kind, way] |= codes


def table(found: Collector, kinds: dict[str, str]) -> str:
    """The table of these kinds, as Markdown."""
    lines = [f"| attack | {' | '.join(WAYS)} |", f"|---|{'---|' * len(WAYS)}"]
    for kind, words in kinds.items():
        cells = [_cell(found, kind, way) for way in WAYS]
        lines.append(f"| **{kind}**: {words} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _cell(found: Collector, kind: str, way: str) -> str:
    count, codes = found.cases.get((kind, way), 0), sorted(found.codes.get((kind, way), ()))
    if way == PLAIN_PIP:
        return f"works, {count}" if count else PIP_WITHSTANDS.get(kind, "")
    if not count:
        return ""
    code = f", exit {' or '.join(map(str, codes))}" if codes and codes != [0] else ""
    return f"{count}{code}"


def main() -> int:
    """Run the tests, print the page, and write it if asked."""
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
