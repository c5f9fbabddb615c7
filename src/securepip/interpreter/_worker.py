"""Describes its interpreter, loads pip, waits for instructions, and then runs pip.

Rule: the target interpreter runs this file, so it imports only the standard library. Loading pip
early only saves time: in the end pip's own runner runs pip, with the modules that are loaded.

The process reads JSON objects, one a line, from standard input. The first has:

* ``runner``: the path of pip's runner;
* ``answers``: the number of an open file descriptor that takes the answers, one a line;
* ``packaging``: a folder; the first answer then describes the interpreter with the ``packaging``
  in it. Null if no description is wanted;
* ``wanted``: names of projects; pip is loaded at once if one of them is not installed. Null to
  load pip in any case;
* ``whole``: whether to load all of pip's modules (``_spared``).

Each further line is one of:

* ``{}``: pip will be needed;
* ``program`` and ``question``: the answer is what ``answer(question)`` of that file returns;
* ``arguments``: run pip with these. ``order`` is the order in which projects are installed, and
  ``shares`` has, for each process that installs, the arguments to add.

When standard input ends, there is nothing to do, and the process ends.
"""

from __future__ import annotations

import atexit
import gc
import importlib
import importlib.util
import json
import os
import runpy
import sys
import threading
from contextlib import suppress
from importlib.machinery import PathFinder
from itertools import chain
from pathlib import Path
from types import ModuleType
from typing import Any

_HERE = Path(__file__).parent
_INSTALL = "pip._internal.commands.install"
_RESOLVER = "pip._internal.resolution.resolvelib.resolver"
_NEEDED = (
    "pip._internal.cli.autocompletion",
    "pip._internal.cli.main",
    "pip._internal.cli.main_parser",
    _INSTALL,
    "pip._internal.metadata.importlib",
    "pip._internal.operations.install.wheel",
    _RESOLVER,
)
_UNKNOWN_ERROR = 2
"""pip's exit code for an exception that it does not know."""


def load(folder: str, *, whole: bool = False) -> bool:
    """Import what ``pip install`` needs, from the pip in ``folder``.

    Args:
        folder: The folder that holds the ``pip`` package.
        whole: Whether to load all modules (``_spared``).

    Returns:
        Whether some modules were replaced by stand-ins.
    """
    # Start-up files of the target (`sitecustomize`, `.pth`) may have imported the target's own pip.
    _forget_pip()
    spec = PathFinder.find_spec("pip", [folder])
    if spec is None or spec.loader is None:
        return False
    module = importlib.util.module_from_spec(spec)
    sys.modules["pip"] = module
    spared = None
    # Loading makes no garbage, and collecting it again and again takes 5 % of the time.
    gc.disable()
    try:
        if not whole:
            spared = module_of(_HERE / "_spared.py")
            spared.begin()
        spec.loader.exec_module(module)
        for name in _NEEDED:
            importlib.import_module(name)
        _load_late_modules()
        if spared is not None:
            spared.end()
    except Exception:
        # The interpreter is too old, or this pip has another layout: pip's runner reports it.
        _forget_pip()
        if spared is not None:
            spared.give_up()
            return load(folder, whole=True)
    finally:
        gc.enable()
    return spared is not None


def _load_late_modules() -> None:
    """Import what pip would import before it unpacks the first wheel."""
    install: Any = sys.modules[_INSTALL]
    load_all = getattr(install, "_eagerly_import_modules", None)
    if load_all is not None:
        load_all(getattr(install, "_INTERNAL_EAGER_IMPORTS", ()))


def keep_order(order: list[str]) -> None:
    """Make pip install in this order, dependencies first.

    With ``--no-deps`` pip would install in alphabetical order, and it has no option for another.
    The order matters, because two distributions may write the same file.
    """
    resolver: Any = getattr(sys.modules.get(_RESOLVER), "Resolver", None)
    place = {project: at for at, project in enumerate(order)}

    def in_order(self: object, requirement_set: Any) -> list[object]:
        found = requirement_set.requirements.items()
        return [one for _, one in sorted(found, key=lambda item: place.get(item[0], len(place)))]

    if order and hasattr(resolver, "get_installation_order"):
        resolver.get_installation_order = in_order


def ask_nobody() -> None:
    """Keep pip from running programs (``rustc``, ``lsb_release``) to make its User-Agent.

    It has no index, so it sends the header to nobody.
    """
    session: Any = sys.modules.get("pip._internal.network.session")
    if hasattr(session, "user_agent"):
        session.user_agent = lambda: "pip"


def note_installs() -> list[None]:
    """Have an entry added to the list that this returns, as soon as pip begins to install."""
    command: Any = sys.modules.get(_INSTALL)
    install: Any = getattr(command, "install_given_reqs", None)
    begun: list[None] = []

    def noted(*requirements: Any, **options: Any) -> Any:
        begun.append(None)
        return install(*requirements, **options)

    if install is not None:
        command.install_given_reqs = noted
    return begun


def _forget_pip() -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "pip"]:
        del sys.modules[name]


def module_of(path: Path) -> Any:
    """Load the module in a file of securepip, without byte code.

    An import would write byte code to securepip's own folder, and code of this environment (a
    ``.pth`` file, ``sitecustomize``) could make it write something malicious.
    """
    module = ModuleType(f"_securepip{path.stem}")
    module.__file__ = str(path)
    exec(compile(path.read_bytes(), str(path), "exec", dont_inherit=True), module.__dict__)  # noqa: S102
    return module


def is_missing(project: str) -> bool:
    """Whether a project is not installed. It decides only when pip is loaded."""
    import importlib.metadata  # late: importing it takes a third of the time of the first answer

    try:
        importlib.metadata.distribution(project)
    except importlib.metadata.PackageNotFoundError:
        return True
    return False


def main() -> None:
    """Answer, load, wait, run."""
    # The target must not import securepip's modules from the folder of this file.
    del sys.path[0]
    lines = iter(sys.stdin.readline, "")
    settings = json.loads(next(lines))
    folder, wanted = str(Path(settings["runner"]).parent.parent), settings["wanted"]
    with os.fdopen(settings["answers"], "w") as answers:
        if settings["packaging"] is not None:
            print(
                module_of(_HERE / "_probe.py").answer(settings["packaging"]),
                file=answers,
                flush=True,
            )
        spared = None
        if wanted is None or any(map(is_missing, wanted)):
            spared = load(folder, whole=settings["whole"])
        for line in lines:
            instruction = json.loads(line)
            if "program" in instruction:
                result = module_of(Path(instruction["program"])).answer(instruction["question"])
                print(result, file=answers, flush=True)
                continue
            if spared is None:
                spared = load(folder, whole=settings["whole"])
            if instruction:
                run(settings, instruction, spared=spared)


def run(settings: dict[str, Any], instruction: dict[str, Any], *, spared: bool) -> None:
    """Run pip, which ends the process.

    Args:
        settings: The first line that this process has read.
        instruction: The line with pip's arguments.
        spared: Whether some modules are stand-ins. If pip then fails with an unknown error before
            it installs anything, it is run again with all of its modules. Not after that: Python
            would start again, and run a start-up file of a wheel that was just installed.
    """
    with Path(os.devnull).open("rb") as nothing:
        os.dup2(nothing.fileno(), sys.stdin.fileno())
    # What is loaded stays: garbage collection, also that of a copied process, need not look at it.
    gc.freeze()
    keep_order(instruction["order"])
    ask_nobody()
    begun = note_installs()
    shares, sharing = instruction["shares"], None
    own = [*chain(*shares)]
    if len(shares) > 1:
        sharing = module_of(_HERE / "_shares.py").Shares()
        own = sharing.begin(shares)
    sys.argv = [settings["runner"], *instruction["arguments"], *own]
    code: Any = 0
    try:
        runpy.run_path(settings["runner"], run_name="__main__")
    except BaseException as end:
        code = end.code if isinstance(end, SystemExit) else 1
        if sharing is not None:
            code = sharing.finish(code)
        if not isinstance(end, SystemExit):
            raise
    if sharing is not None and (sharing.is_copy or sharing.have_begun):
        begun.append(None)
    if code == _UNKNOWN_ERROR and spared and not begun:
        begin_again({**settings, "packaging": None, "whole": True}, instruction)
    code = code or 0
    if not isinstance(code, int) or threading.active_count() > 1:
        sys.exit(code)
    # End as the interpreter would, but without freeing every object: a sixth of the time.
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def begin_again(*lines: dict[str, Any]) -> None:
    """Start this program anew in this process, without output so far, and with these lines to read.

    The lines are passed in a file, because an argument may have only 128 KiB.
    """
    import tempfile  # pip has loaded it

    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError):  # it may not be a file
            stream.flush()
            os.ftruncate(stream.fileno(), 0)
            os.lseek(stream.fileno(), 0, os.SEEK_SET)
    with tempfile.TemporaryFile() as waiting:
        waiting.writelines(f"{json.dumps(line)}\n".encode() for line in lines)
        waiting.seek(0)
        os.dup2(waiting.fileno(), sys.stdin.fileno())
    os.execv(sys.executable, [sys.executable, __file__])  # noqa: S606 - itself


if __name__ == "__main__":
    main()
