"""The overlay: signed pages for an index that does not sign, whose files stay where they are.

The module ``sync`` does all of it for an operator, and is imported for that alone. ``Overlay`` is
the seam below it, in four calls: what is known, what the index offers, how that is judged, and what
is published.
"""

from securepip.signing.overlay.accept import accept_change
from securepip.signing.overlay.judge import Rules
from securepip.signing.overlay.memory import upstream_named_before
from securepip.signing.overlay.overlay import Judged, Overlay, Standing
from securepip.signing.overlay.report import Problem, SyncReport

__all__ = [
    "Judged",
    "Overlay",
    "Problem",
    "Rules",
    "Standing",
    "SyncReport",
    "accept_change",
    "upstream_named_before",
]
