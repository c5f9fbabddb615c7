"""From verified files to an environment: the hand-off to pip, and builds of sdists."""

from securepip.installer.handoff import HandOff, InstallOptions, InstallReport, install
from securepip.installer.process import Pip
from securepip.installer.sdists import SdistBuilder

__all__ = ["HandOff", "InstallOptions", "InstallReport", "Pip", "SdistBuilder", "install"]
