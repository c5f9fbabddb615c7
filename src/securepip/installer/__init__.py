"""From verified files to an environment: the hand-off to pip, and builds of sdists."""

from securepip.installer.handoff import HandOff, InstallOptions, InstallReport, install
from securepip.installer.process import Pip
from securepip.installer.sdists import BuildOptions, SdistBuilder
from securepip.installer.unpack import copy_verified
from securepip.installer.user_site import check_user_site

__all__ = [
    "BuildOptions",
    "HandOff",
    "InstallOptions",
    "InstallReport",
    "Pip",
    "SdistBuilder",
    "check_user_site",
    "copy_verified",
    "install",
]
