"""Is what is installed what was signed? An environment, compared with what stands behind it.

Rule: nothing of the environment is imported or run. What it says of itself (RECORD, entry points,
names of folders) may be written by an enemy: it is read within bounds, no link is followed, and
no path that leads out of the environment is opened.
"""

from securepip.verify.environment import verify
from securepip.verify.types import Checked, Finding, Kind, Report, Status

__all__ = ["Checked", "Finding", "Kind", "Report", "Status", "verify"]
