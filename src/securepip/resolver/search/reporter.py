"""Logs the progress of a resolution: why it takes long, or, with a variable, every step.

Rule: the phrases and the variable (``PIP_RESOLVER_DEBUG``) are pip's, so that its guides to long
resolutions apply here too.
"""

from __future__ import annotations

import logging
import os
from collections import Counter

from resolvelib import BaseReporter
from resolvelib.resolvers import Criterion
from resolvelib.structs import State

from securepip.resolver.candidates.graph import AnyRequirement, Candidate

_log = logging.getLogger(__name__)


def make_reporter() -> BaseReporter[AnyRequirement, Candidate, str]:
    """The reporter that the environment variable selects."""
    return _StepReporter() if "PIP_RESOLVER_DEBUG" in os.environ else _PatienceReporter()


class _PatienceReporter(BaseReporter[AnyRequirement, Candidate, str]):
    """Logs, as pip does, that a resolution takes long, and why."""

    _LOOKING = (
        "securepip is %slooking at multiple versions of %s to determine which version is "
        "compatible with other requirements. This could take a while."
    )

    def __init__(self) -> None:
        self._rejected: Counter[str] = Counter()

    def rejecting_candidate(
        self, criterion: Criterion[AnyRequirement, Candidate], candidate: Candidate
    ) -> None:
        name = candidate.identifier
        self._rejected[name] += 1
        if self._rejected[name] == 1:
            _log.info(self._LOOKING, "", name)
        elif self._rejected[name] == 8:
            _log.info(self._LOOKING, "still ", name)
        elif self._rejected[name] == 13:
            _log.info(
                "This is taking longer than usual. You might need to provide the dependency "
                "resolver with stricter constraints to reduce runtime. If you want to abort this "
                "run, press Ctrl + C."
            )


class _StepReporter(BaseReporter[AnyRequirement, Candidate, str]):
    """Logs every step."""

    def starting(self) -> None:
        _log.info("Reporter.starting()")

    def starting_round(self, index: int) -> None:
        _log.info("Reporter.starting_round(%r)", index)

    def ending_round(self, index: int, state: State[AnyRequirement, Candidate, str]) -> None:
        _log.info("Reporter.ending_round(%r, state)", index)

    def ending(self, state: State[AnyRequirement, Candidate, str]) -> None:
        _log.info("Reporter.ending(%s)", ", ".join(state.mapping))

    def adding_requirement(self, requirement: AnyRequirement, parent: Candidate | None) -> None:
        by = None if parent is None else parent.describe()
        _log.info("Reporter.adding_requirement(%s, %s)", requirement.describe(), by)

    def rejecting_candidate(
        self, criterion: Criterion[AnyRequirement, Candidate], candidate: Candidate
    ) -> None:
        _log.info("Reporter.rejecting_candidate(%s)", candidate.describe())

    def pinning(self, candidate: Candidate) -> None:
        _log.info("Reporter.pinning(%s)", candidate.describe())
