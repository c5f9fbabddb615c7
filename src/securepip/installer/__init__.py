"""From verified files to an environment: the hand-off to pip, and builds of sdists.

``sdists`` decides what is built and what is handed over; ``handoff`` has pip install it, and
``progress`` watches it; ``wheels`` makes and checks the copies that pip reads. Below them,
``build`` makes a wheel of one source, and ``target`` byte-compiles.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from securepip.installer.build.cache import WheelCache
    from securepip.installer.copies import copy_verified
    from securepip.installer.handoff import HandOver, InstallOptions, InstallReport, install
    from securepip.installer.sdists import BuildOptions, SdistBuilder
    from securepip.installer.target.byte_code_cache import ByteCodeCache
    from securepip.installer.target.externally_managed import refuse_externally_managed
    from securepip.installer.target.user_site import check_user_site
    from securepip.installer.wheels import HandOff

__all__ = [
    "BuildOptions",
    "ByteCodeCache",
    "HandOff",
    "HandOver",
    "InstallOptions",
    "InstallReport",
    "SdistBuilder",
    "WheelCache",
    "check_user_site",
    "copy_verified",
    "install",
    "refuse_externally_managed",
]

_WHERE = {
    "BuildOptions": "sdists",
    "ByteCodeCache": "target.byte_code_cache",
    "HandOff": "wheels",
    "HandOver": "handoff",
    "InstallOptions": "handoff",
    "InstallReport": "handoff",
    "SdistBuilder": "sdists",
    "WheelCache": "build.cache",
    "check_user_site": "target.user_site",
    "copy_verified": "copies",
    "install": "handoff",
    "refuse_externally_managed": "target.externally_managed",
}


def __getattr__(name: str) -> object:
    """Import a name's module on first use: if there is nothing to install, none is needed."""
    if name in _WHERE:
        return getattr(import_module(f"{__name__}.{_WHERE[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
