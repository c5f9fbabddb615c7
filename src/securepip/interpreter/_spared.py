"""Stand-ins for modules of pip that it does not need to install files from a folder.

Loading these modules (network, progress bars) is a third of pip's start. Without an index and with
the progress bar off, pip only refers to names in them: a base class, an exception that it would
catch, a constant. Each such name is a class here that cannot be used. If pip uses one all the same,
it gets an ``ImportError``, fails with its exit code for unknown errors, and is run again with the
real modules (see ``_worker``).

Rule: the target interpreter runs this file, so it imports only the standard library.
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
    """An import finder for the stand-ins, and for their submodules."""

    is_loading = True
    """Whether pip is still being loaded. Only then may it refer to names in stand-ins."""

    @classmethod
    def find_spec(
        cls, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Part of the import protocol."""
        if any(f"{name}.".startswith(f"{spared}.") for spared in _SPARED):
            return ModuleSpec(name, cls, is_package=True)  # type: ignore[arg-type] # a loader
        return None

    @staticmethod
    def create_module(spec: ModuleSpec) -> ModuleType:
        """Part of the import protocol."""
        return _Module(spec.name)

    @staticmethod
    def exec_module(module: ModuleType) -> None:
        """Part of the import protocol."""


class _Module(ModuleType):
    def __getattr__(self, name: str) -> object:
        return _named(self, self.__name__, name)


class _Unusable(type):
    """The metaclass of the stand-in classes: they have names, and cannot be called."""

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
    """The stand-in for pip's network session: pip may pass it on, but not use it."""

    resume_retries = 0

    def __getattr__(self, name: str) -> object:
        return _Unusable(f"session.{name}", (Exception,), {})

    def __enter__(self) -> _Session:
        return self

    def __exit__(self, *exception: object) -> None:
        pass


def begin() -> None:
    """Replace the modules from now on."""
    sys.meta_path.insert(0, Finder)


def end() -> None:
    """Note that pip is loaded, and replace its network session.

    Raises:
        AttributeError: This pip makes its session elsewhere.
    """
    commands: Any = sys.modules[_COMMANDS]
    if not hasattr(commands.SessionCommandMixin, "_build_session"):
        raise AttributeError("_build_session")
    commands.SessionCommandMixin._build_session = lambda *_, **__: _Session()
    Finder.is_loading = False


def give_up() -> None:
    """Let pip import the real modules from now on."""
    sys.meta_path[:] = [finder for finder in sys.meta_path if finder is not Finder]
