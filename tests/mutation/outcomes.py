"""The outcomes of changes, each in a line of a file, and their score."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from tests.mutation.accepted import Key

GOAL = 0.95
"""The share of changes that the tests of a room should notice."""
FLOOR = 0.85
"""The share below which a run fails. It is lower, because new code has not been tried yet."""

_ONE_IN = 1000


@dataclass(frozen=True)
class Outcome:
    """The outcome of a change.

    Attributes:
        room: The room.
        module: The module, relative to the package.
        line: The first changed line.
        before: The text of the lines.
        after: Their new text.
        end: ``killed``; ``hung`` (killed, too: the tests did not end); ``survived``; ``unreached``
            (no test of the room reaches the lines).
        by: The test that failed.
        nth: Its number, from 0, among changes of the module with the same text.
    """

    room: str
    module: str
    line: int
    before: str
    after: str
    end: str
    by: str
    nth: int = 0

    @property
    def key(self) -> Key:
        """The change, as the list of accepted changes identifies it."""
        return (self.module, self.before, self.after)

    @property
    def lives(self) -> bool:
        """Whether no test has noticed it."""
        return self.end in ("survived", "unreached")

    def written(self) -> str:
        """The outcome as a line of a file."""
        return json.dumps(asdict(self)) + "\n"


def read(path: Path) -> list[Outcome]:
    """The last outcome of each change in a file, which may not exist."""
    if not path.exists():
        return []
    lines = path.read_text(encoding="utf-8").splitlines()
    outcomes = (Outcome(**json.loads(line)) for line in lines)
    return list({(one.key, one.nth): one for one in outcomes}.values())


def score(killed: int, tried: int) -> str:
    """The noticed share, with its confidence interval (Wilson, 95 %)."""
    if not tried:
        return "nothing tried"
    share, z = killed / tried, 1.96
    middle = (share + z * z / (2 * tried)) / (1 + z * z / tried)
    about = z * math.sqrt(share * (1 - share) / tried + z * z / (4 * tried * tried))
    about /= 1 + z * z / tried
    return f"{killed} of {tried}, {share:.1%} ({middle - about:.1%} to {middle + about:.1%})"


def is_below(share: float, killed: int, tried: int) -> bool:
    """Whether a true score of ``share`` is this low in fewer than one of a thousand samples."""
    chances = (
        math.comb(tried, number) * share**number * (1 - share) ** (tried - number)
        for number in range(killed + 1)
    )
    return tried > 0 and sum(chances) < 1 / _ONE_IN


def faults(outcomes: Sequence[Outcome], allowed: dict[Key, str]) -> list[str]:
    """The accepted changes that a test has noticed."""
    lives = {one.key for one in outcomes if one.lives}
    return [
        f"{one.module}:{one.line}: accepted, but {one.by or 'a test'} notices: {one.after}"
        for one in outcomes
        if one.key in allowed and one.key not in lives
    ]
