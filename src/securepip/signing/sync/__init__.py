"""The overlay: signed pages for an index that does not sign, whose files stay where they are."""

from securepip.signing.sync.accept import accept_change
from securepip.signing.sync.report import Problem, SyncReport
from securepip.signing.sync.run import SyncOptions, sync

__all__ = ["Problem", "SyncOptions", "SyncReport", "accept_change", "sync"]
