"""Stand-ins for what pip does not use where it installs files of a folder: network and drawing.

Loading these modules is a third of pip's start. Without an index and with the progress bar off,
pip only takes names from them: a base class, an exception that it would catch, a constant. Here
each name is a class that nothing can be done with. Whoever uses one all the same gets an
``ImportError``; then pip fails as with any error that it does not know, and is run again as a whole
(see ``_worker``).

Rule: the target interpreter runs this file: standard library alone.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

_SPARED = (
    "pip._internal.network.auth",
    "pip._internal.network.cache",
    "pip._internal.network.session",
    "pip._vendor.cachecontrol",
    "pip._vendor.pygments",
    "pip._vendor.requests",
    "pip._vendor.rich._windows_renderer",
    "pip._vendor.rich.live",
    "pip._vendor.rich.progress",
    "pip._vendor.rich.traceback",
    "pip._vendor.truststore",
    "pip._vendor.urllib3",
)
_COMMANDS = "pip._internal.cli.index_command"


class Finder:
    """Finds stand-ins for the modules that are spared, and for those in them."""

    is_loading = True
    """Whether pip is still being loaded, and may take names out of names."""

    @classmethod
    def find_spec(
        cls, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """As the import system asks it."""
        if any(f"{name}.".startswith(f"{spared}.") for spared in _SPARED):
            return ModuleSpec(name, cls, is_package=True)  # type: ignore[arg-type] # a loader
        return None

    @staticmethod
    def create_module(spec: ModuleSpec) -> ModuleType:
        """As the import system asks it."""
        return _Module(spec.name)

    @staticmethod
    def exec_module(module: ModuleType) -> None:
        """As the import system asks it."""


class _Module(ModuleType):
    def __getattr__(self, name: str) -> object:
        return _named(self, self.__name__, name)


class _Unusable(type):
    """The type of a class that only has a name."""

    def __getattr__(cls, name: str) -> object:
        return _named(cls, cls.__qualname__, name)

    def __call__(cls, *_: object, **__: object) -> Any:
        raise ImportError(f"pip was spared {cls.__qualname__}, and uses it")


def _named(holder: Any, of: str, name: str) -> object:
    if name.startswith("__") or not Finder.is_loading:
        raise AttributeError(f"pip was spared {of}, and asks it for {name}")
    made = _Unusable(f"{of}.{name}", (Exception,), {})
    setattr(holder, name, made)
    return made


class _Session:
    """In the place of pip's connections: it can be handed on, and asked for nothing."""

    resume_retries = 0

    def __getattr__(self, name: str) -> object:
        return _Unusable(f"session.{name}", (Exception,), {})

    def __enter__(self) -> _Session:
        return self

    def __exit__(self, *exception: object) -> None:
        pass


def begin() -> None:
    """Spare pip these modules from now on."""
    sys.meta_path.insert(0, Finder)


def end() -> None:
    """What is loaded is all that pip will have.

    Raises:
        AttributeError: This pip makes its connections in another place.
    """
    commands: Any = sys.modules[_COMMANDS]
    if not hasattr(commands.SessionCommandMixin, "_build_session"):
        raise AttributeError("_build_session")
    commands.SessionCommandMixin._build_session = lambda *_, **__: _Session()
    Finder.is_loading = False


def give_up() -> None:
    """Spare pip nothing."""
    sys.meta_path[:] = [finder for finder in sys.meta_path if finder is not Finder]
