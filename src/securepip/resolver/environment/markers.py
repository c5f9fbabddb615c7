"""Evaluates environment markers in the target environment, each once.

Source: PEP 508. As in pip, ``extra`` is "" if no extras are asked for.
"""

from __future__ import annotations

from collections.abc import Iterable

from packaging.markers import Marker, UndefinedComparison, UndefinedEnvironmentName

from securepip.errors import ResolutionError
from securepip.resolver.environment.target import TargetEnvironment


class MarkerRules:
    """Evaluates markers in the target environment.

    Args:
        environment: The target.
    """

    def __init__(self, environment: TargetEnvironment) -> None:
        self._environment = dict(environment.markers)
        self._judged: dict[tuple[str, str], bool] = {}

    def apply(self, marker: Marker | None, extras: Iterable[str] = ()) -> bool:
        """Whether a requirement with this marker applies if these extras are asked for.

        Raises:
            ResolutionError: The marker cannot be evaluated.
        """
        if marker is None:
            return True
        text = str(marker)
        return any(self._evaluate(marker, text, extra) for extra in extras or ("",))

    def _evaluate(self, marker: Marker, text: str, extra: str) -> bool:
        key = (text, extra)
        if key not in self._judged:
            try:
                self._judged[key] = marker.evaluate({**self._environment, "extra": extra})
            except (UndefinedComparison, UndefinedEnvironmentName, ValueError) as error:
                raise ResolutionError(f"The marker {text!r:.200} has no meaning: {error}") from None
        return self._judged[key]
