"""How the plugin changes pip: it patches pip's modules that fetch, right after they are loaded."""

from __future__ import annotations

import importlib
import os
import shutil
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import cache
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, NoReturn
from urllib.parse import urlsplit

from securepip.plugin.shim.guard import guard
from securepip.plugin.shim.hint import will_fetch
from securepip.plugin.shim.inside import KNOWN, is_called_by, refusal

if TYPE_CHECKING:
    from securepip.plugin.shim.gateway import Gateway

SWITCH = "SECUREPIP_UNSAFELY_DISABLE_PACKAGE_VERIFICATION"
"""The variable that switches verification off."""
_TRUE = {"1", "y", "yes", "t", "true", "on"}
_STRONG = {"sha256", "sha384", "sha512"}
# The options that say where distributions come from.
_PLACES = {"index-url", "pypi-url", "extra-index-url", "no-index", "find-links"}


def attach(config: dict[str, Any], refuse: Callable[[str], NoReturn]) -> str:
    """Patch the pip that is about to be imported.

    Args:
        config: ``command`` starts a gateway, ``needs`` lists the paths that must exist for that,
            and ``files`` lists the files of the plugin itself.
        refuse: Stops pip with a reason, at a time when pip cannot print one yet.

    Returns:
        What is wrong; "" when nothing is.
    """
    if os.environ.get(SWITCH, "").strip().lower() in _TRUE:
        print(
            "WARNING: package verification is switched off: nothing that pip installs now was "
            f"checked.\n  Remove {SWITCH} from the environment to install verified packages.",
            file=sys.stderr,
        )
        return ""
    missing = [path for path in config["needs"] if not Path(path).exists()]
    if missing:
        return f"securepip, which verifies, is no longer where it was: {missing[0]} is gone."
    # pip may be imported more than once in a process.
    if not any(type(finder).__name__ == _Seams.__name__ for finder in sys.meta_path):
        seams = _Seams(config["command"], config["files"], refuse)
        # Only a head start: whoever needs the gateway later is told why it does not run.
        with suppress(Exception):
            if will_fetch(getattr(sys, "argv", [])[1:]):
                seams.gateway().begin()
        sys.meta_path.insert(0, seams)
        sys.addaudithook(guard(seams.port))
    return ""


class _Seams:
    """An import finder that patches pip's modules that fetch, right after they are loaded.

    The code that asks the gateway is imported only when pip fetches: most commands do not fetch.

    Args:
        command: Starts a gateway.
        files: The files of the plugin itself.
        refuse: Stops pip with a reason.

    Attributes:
        not_obeyed: The index settings in the environment's own pip configuration, which pip is not
            given: value and configuration file, by option.
    """

    def __init__(
        self, command: Sequence[str], files: Sequence[str], refuse: Callable[[str], NoReturn]
    ) -> None:
        self._command = command
        self._lock = threading.Lock()
        self._gateway: Gateway | None = None
        self.not_obeyed: dict[str, tuple[str, str]] = {}
        self._files = files
        self._refuse = refuse
        self._finding = threading.local()
        self._patches = {
            "pip._internal.network.session": self._session,
            "pip._internal.req.req_install": self._requirement,
            "pip._internal.req.req_file": self._requirements_file,
            "pip._internal.vcs.versioncontrol": self._version_control,
            "pip._internal.cache": self._cache,
            "pip._internal.configuration": self._configuration,
        }
        # Since pip 26.
        self._new_patches = {"pip._internal.build_env.venv": self._venv}

    def gateway(self) -> Gateway:
        """The gateway that this pip asks; one for all its threads."""
        with self._lock:
            if self._gateway is None:
                from securepip.plugin.shim.gateway import Gateway

                self._gateway = Gateway(self._command, self.not_obeyed)
            return self._gateway

    def port(self) -> int | None:
        """The gateway's port, as soon as it is known."""
        return self._gateway.port if self._gateway else None

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Let the other finders find the module, and patch it after it is loaded."""
        patch = self._patches.get(name) or self._new_patches.get(name)
        if patch is None or getattr(self._finding, "name", None) == name:
            return None
        self._finding.name = name
        try:
            # All finders are asked: the path finder does not find a pip in an archive.
            spec = find_spec(name)
        finally:
            self._finding.name = None
        if spec is None or spec.loader is None:
            self._misfit(name, "it is not there")
        load = spec.loader.exec_module

        def exec_module(module: ModuleType) -> None:
            load(module)
            # An archive has one loader for all its modules.
            if module.__name__ == name:
                try:
                    patch(module)
                except (AttributeError, TypeError, ImportError) as error:
                    self._misfit(name, error)

        spec.loader.exec_module = exec_module  # type: ignore[method-assign] # of this one loader
        return spec

    def _misfit(self, name: str, error: object) -> NoReturn:
        """Stop a pip whose internals differ from those that the plugin knows."""
        reason = f"this version of pip is not made as the plugin knows it: {name}: {error}."
        if is_called_by("pip._internal.cli.base_command"):  # which would show a traceback
            raise refusal(f"pip is stopped by securepip's plugin: {reason}", KNOWN)
        self._refuse(f"{reason} {KNOWN}")

    def _session(self, module: Any) -> None:
        from pip._vendor.requests.adapters import HTTPAdapter

        session, gateway = module.PipSession, self.gateway
        original = session.get_adapter
        create = session.__init__

        @cache
        def adapter() -> Any:
            from securepip.plugin.shim.adapter import make_adapter

            return make_adapter(HTTPAdapter, gateway())

        def get_adapter(self: Any, url: str) -> Any:
            # The adapter is not mounted: pip would mount the one for a trusted host over it.
            if url.lower().startswith(("http:", "https:")):
                return adapter()(self)
            return original(self, url)

        def __init__(self: Any, *args: Any, **kwargs: Any) -> None:  # noqa: N807 - in its place
            # From here on pip can fetch, so every other patch must be in place too.
            for name in seams:
                importlib.import_module(name)
            create(self, *args, **kwargs)
            self.securepip_cache = kwargs.get("cache")

        seams = tuple(self._patches)
        session.get_adapter, session.__init__ = get_adapter, __init__
        session.securepip_adapter = original

    def _requirement(self, module: Any) -> None:
        requirement, gateway = module.InstallRequirement, self.gateway
        create = requirement.__init__

        def __init__(self: Any, *args: Any, **kwargs: Any) -> None:  # noqa: N807 - in its place
            create(self, *args, **kwargs)
            link = self.original_link
            if link is not None and link.scheme in ("http", "https"):
                given = [(link.hash_name, link.hash)]
                given += [
                    (name, each) for name, all_of in self.hash_options.items() for each in all_of
                ]
                gateway().name_direct(link.url, {f"{n}:{d}" for n, d in given if n in _STRONG})

        requirement.__init__ = __init__

    def _requirements_file(self, module: Any) -> None:
        read, gateway = module.get_file_content, self.gateway
        if not (callable(module.join_lines) and callable(module.ignore_comments)):
            raise TypeError("it reads lines in another way")

        def get_file_content(url: str, session: Any, *args: Any, **kwargs: Any) -> tuple[str, str]:
            if urlsplit(url).scheme.lower() not in ("http", "https"):
                return read(url, session, *args, **kwargs)  # type: ignore[no-any-return] # pip's
            from securepip.plugin.shim.requirements import check_requirements

            with gateway().reading_text():
                location, content = read(url, session, *args, **kwargs)
            check_requirements(url, content, module)
            return location, content

        module.get_file_content = get_file_content

    def _version_control(self, module: Any) -> None:
        vcs = module.VersionControl
        if not callable(vcs.obtain):
            raise TypeError("obtain is no method")

        def obtain(self: Any, dest: str, url: object, *args: Any, **kwargs: Any) -> NoReturn:
            raise refusal(
                f"{url} is under version control, and no signature covers what is fetched there.",
                "Install a release of it, or fetch it yourself and install it from your folder.",
            )

        vcs.obtain = obtain

    def _cache(self, module: Any) -> None:
        wheels = module.WheelCache
        create = wheels.__init__

        def __init__(self: Any, cache_dir: str, *args: Any) -> None:  # noqa: N807 - in its place
            # A wheel in pip's own cache may have been built by build tools that nobody verified.
            create(self, cache_dir and str(Path(cache_dir, "securepip")), *args)

        wheels.__init__ = __init__

    def _configuration(self, module: Any) -> None:
        configuration, not_obeyed = module.Configuration, self.not_obeyed
        load = configuration._load_file

        def _load_file(self: Any, variant: Any, fname: str) -> Any:
            parser = load(self, variant, fname)
            # "site" is the environment's own file: whoever can write to the environment could name
            # another index there. `pip config` sets `load_only`, and may still show it.
            if variant == "site" and self.load_only is None:
                values = self._config[variant]
                # Since pip 25.3, the values are grouped by file.
                for each in (values, *(one for one in values.values() if isinstance(one, dict))):
                    for key in [key for key in each if key.rpartition(".")[2] in _PLACES]:
                        not_obeyed[key.rpartition(".")[2]] = (str(each.pop(key)), fname)
            return parser

        configuration._load_file = _load_file

    def _venv(self, module: Any) -> None:
        environment, files = module.VenvBuildEnvironment, self._files
        create = environment.__init__

        def __init__(self: Any, *args: Any, **kwargs: Any) -> None:  # noqa: N807 - in its place
            # pip runs inside this new environment to fetch build requirements: it must verify too.
            create(self, *args, **kwargs)
            for path in files:
                shutil.copy(path, self.lib_dirs[0])

        environment.__init__ = __init__
