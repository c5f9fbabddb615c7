"""From verified files to an environment: the hand-off to pip, and builds of sdists."""

from securepip.installer.handoff import HandOff, InstallOptions, InstallReport, install
from securepip.installer.process import Pip
from securepip.installer.sdists import BuildOptions, SdistBuilder
from securepip.installer.unpack import copy_verified

__all__ = [
    "BuildOptions",
    "HandOff",
    "InstallOptions",
    "InstallReport",
    "Pip",
    "SdistBuilder",
    "copy_verified",
    "install",
]
