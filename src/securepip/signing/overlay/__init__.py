"""The overlay: signed pages for an index that does not sign, whose files stay where they are."""

from securepip.signing.overlay.accept import accept_change
from securepip.signing.overlay.report import Problem, SyncReport
from securepip.signing.overlay.run import SyncOptions, sync

__all__ = ["Problem", "SyncOptions", "SyncReport", "accept_change", "sync"]
