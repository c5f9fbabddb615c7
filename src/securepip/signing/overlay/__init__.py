"""The overlay: signs the pages of an index that does not sign. The files stay where they are.

``Overlay`` works in four calls: ``question`` (what is known already), ``read`` (what the index
offers), ``judge`` (what of that may be signed) and ``publish``. The module ``sync`` makes these
calls for all projects of an operator. It is not imported here, since only `repo sync` needs it.
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
