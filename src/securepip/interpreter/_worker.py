"""Says what its interpreter is, loads pip, waits to be told what it is to do, and then runs it.

Rule: the target interpreter runs this file: standard library alone. Loading is only a matter of
time: it is pip's own runner that runs pip afterwards, with what is loaded by then.

Each line that it reads is a JSON object. In the first, ``runner`` is the path of pip's runner.
``answers`` is the number of an open file that takes answers, a line each. The first is what the
interpreter says of itself, by the ``packaging`` in that folder; null where nobody asks. ``wanted``
names projects: pip is loaded as soon as one of them is not installed; null where it is loaded at
once. ``whole`` says whether pip is spared nothing (``_spared``).

Of the lines after that, ``{}`` means that pip will be needed. One with a
``program`` and a ``question`` is answered by what ``answer(question)`` of that file returns. The
one that ends its waiting holds pip's ``arguments``, the ``order`` in which projects are installed,
and in ``shares`` what each of the processes that install at a time adds to the arguments. When
there is no line, there is nothing to do.
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
"""pip's exit code where it has failed in a way that it does not know."""


def load(folder: str, *, whole: bool = False) -> bool:
    """Import what ``pip install`` needs, of the pip in ``folder``.

    Args:
        folder: Where it is.
        whole: Spare it nothing, see ``_spared``.

    Returns:
        Whether it was spared something.
    """
    # The target's start-up (sitecustomize, a path file) may have imported the target's own pip.
    _forget_pip()
    spec = PathFinder.find_spec("pip", [folder])
    if spec is None or spec.loader is None:
        return False
    module = importlib.util.module_from_spec(spec)
    sys.modules["pip"] = module
    spared = None
    # Nothing of what is loaded becomes garbage: looking for it again and again is 5 % of the time.
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
        # Too old an interpreter, another layout of pip: let the runner say what it has to say.
        _forget_pip()
        if spared is not None:
            spared.give_up()
            return load(folder, whole=True)
    finally:
        gc.enable()
    return spared is not None


def _load_late_modules() -> None:
    """What pip imports before it unpacks the first wheel, after which it imports nothing more."""
    install: Any = sys.modules[_INSTALL]
    load_all = getattr(install, "_eagerly_import_modules", None)
    if load_all is not None:
        load_all(getattr(install, "_INTERNAL_EAGER_IMPORTS", ()))


def keep_order(order: list[str]) -> None:
    """Have pip install in this order, dependencies before what needs them.

    pip has no option for it: it takes the order from dependencies, at which it is not to look, and
    without them that of the alphabet. Two distributions may write the same file, so the order is
    part of what is installed.
    """
    resolver: Any = getattr(sys.modules.get(_RESOLVER), "Resolver", None)
    place = {project: at for at, project in enumerate(order)}

    def in_order(self: object, requirement_set: Any) -> list[object]:
        found = requirement_set.requirements.items()
        return [one for _, one in sorted(found, key=lambda item: place.get(item[0], len(place)))]

    if order and hasattr(resolver, "get_installation_order"):
        resolver.get_installation_order = in_order


def ask_nobody() -> None:
    """Spare pip the programs (``rustc``, ``lsb_release``) that it asks for its User-Agent.

    It has no index, so the header is sent to nobody.
    """
    session: Any = sys.modules.get("pip._internal.network.session")
    if hasattr(session, "user_agent"):
        session.user_agent = lambda: "pip"


def _forget_pip() -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "pip"]:
        del sys.modules[name]


def module_of(path: Path) -> Any:
    """The module in a file of ours, compiled here and now.

    Byte code would be read from our folder, and written there: but what runs in this environment
    (a path file, ``sitecustomize``) may have put another compiler in its place.
    """
    module = ModuleType(f"_securepip{path.stem}")
    module.__file__ = str(path)
    exec(compile(path.read_bytes(), str(path), "exec", dont_inherit=True), module.__dict__)  # noqa: S102
    return module


def is_missing(project: str) -> bool:
    """Whether a project is not installed; it decides only when pip is loaded."""
    import importlib.metadata  # after the answer: it takes as long as a third of it

    try:
        importlib.metadata.distribution(project)
    except importlib.metadata.PackageNotFoundError:
        return True
    return False


def main() -> None:
    """Answer, load, wait, run."""
    # The folder of this file holds modules of ours, which are not for the target.
    del sys.path[0]
    lines = iter(sys.stdin.readline, "")
    asked = json.loads(next(lines))
    folder, wanted = str(Path(asked["runner"]).parent.parent), asked["wanted"]
    with os.fdopen(asked["answers"], "w") as answers:
        if asked["packaging"] is not None:
            print(
                module_of(_HERE / "_probe.py").answer(asked["packaging"]), file=answers, flush=True
            )
        spared = None
        if wanted is None or any(map(is_missing, wanted)):
            spared = load(folder, whole=asked["whole"])
        for line in lines:
            told = json.loads(line)
            if "program" in told:
                said = module_of(Path(told["program"])).answer(told["question"])
                print(said, file=answers, flush=True)
                continue
            if spared is None:
                spared = load(folder, whole=asked["whole"])
            if told:
                run(asked, told, spared=spared)


def run(asked: dict[str, Any], told: dict[str, Any], *, spared: bool) -> None:
    """Run pip, which ends the process.

    Args:
        asked: The first line that this process has read.
        told: What pip is to do.
        spared: Whether pip is not there as a whole: then it is run again as a whole where it fails
            in a way that it does not know.
    """
    with Path(os.devnull).open("rb") as nothing:
        os.dup2(nothing.fileno(), sys.stdin.fileno())
    # What is loaded stays: neither the search for garbage nor a copy of the process touches it.
    gc.freeze()
    keep_order(told["order"])
    ask_nobody()
    shares, sharing = told["shares"], None
    own = [*chain(*shares)]
    if len(shares) > 1:
        sharing = module_of(_HERE / "_shares.py").Shares()
        own = sharing.begin(shares)
    sys.argv = [asked["runner"], *told["arguments"], *own]
    code: Any = 0
    try:
        runpy.run_path(asked["runner"], run_name="__main__")
    except BaseException as end:
        code = end.code if isinstance(end, SystemExit) else 1
        if sharing is not None:
            code = sharing.finish(code)
        if not isinstance(end, SystemExit):
            raise
    if code == _UNKNOWN_ERROR and spared and not (sharing is not None and sharing.is_copy):
        begin_again({**asked, "packaging": None, "whole": True}, told)
    code = code or 0
    if not isinstance(code, int) or threading.active_count() > 1:
        sys.exit(code)
    # As the interpreter ends, but nothing is freed piece by piece: a sixth of all the time.
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def begin_again(*lines: dict[str, Any]) -> None:
    """Become a process that has said nothing yet, and has these lines to read.

    They are in a file: an argument may have 128 KiB, which the names of a long plan exceed.
    """
    import tempfile  # pip has loaded it

    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError):  # Somebody else's, and no file.
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
