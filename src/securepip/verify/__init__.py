"""Compares the distributions installed in an environment with the signed files.

Rule: nothing in the environment is imported or run. An attacker may have written what it says of
itself (RECORD, entry points, names of folders). So files are read up to a limit of size, no link is
followed, and no path that leads out of the environment is opened.
"""

from securepip.verify.environment import verify
from securepip.verify.types import Checked, Finding, Kind, Report, Status

__all__ = ["Checked", "Finding", "Kind", "Report", "Status", "verify"]
