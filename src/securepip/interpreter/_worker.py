"""Says what its interpreter is, loads pip, waits to be told what it is to do, and then runs it.

Rule: the target interpreter runs this file: standard library alone. Loading is only a matter of
time: it is pip's own runner that runs pip afterwards, with what is loaded by then.

Its argument is a JSON object. ``runner`` is the path of pip's runner. ``answer`` is the number of
an open file that takes what the interpreter says of itself, by the ``packaging`` in that folder;
null where nobody asks. ``wanted`` names projects: pip is loaded as soon as one of them is not
installed; null where it is loaded at once.

Each line that it reads is a JSON object. ``{}`` means that pip will be needed. The one that ends
its waiting holds pip's ``arguments``, the ``order`` in which projects are installed, and in
``shares`` what each of the processes that install at a time adds to the arguments. When there is no
line, there is nothing to do.
"""

from __future__ import annotations

import gc
import importlib
import importlib.util
import json
import os
import sys
from importlib.machinery import PathFinder
from itertools import chain
from pathlib import Path
from typing import Any

_RESOLVER = "pip._internal.resolution.resolvelib.resolver"


def load(folder: str) -> None:
    """Import what ``pip install`` needs, of the pip in ``folder``."""
    # The target's start-up (sitecustomize, a path file) may have imported the target's own pip.
    _forget_pip()
    spec = PathFinder.find_spec("pip", [folder])
    if spec is None or spec.loader is None:
        return
    module = importlib.util.module_from_spec(spec)
    sys.modules["pip"] = module
    # Nothing of what is loaded becomes garbage: looking for it again and again is 5 % of the time.
    gc.disable()
    try:
        spec.loader.exec_module(module)
        for name in ("pip._internal.cli.main", "pip._internal.commands.install", _RESOLVER):
            importlib.import_module(name)
    except Exception:
        # Too old an interpreter, another layout of pip: let the runner say what it has to say.
        _forget_pip()
    finally:
        gc.enable()


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


def answer(packaging_folder: str) -> str:
    """What the interpreter says of itself, as the file beside this one has it."""
    said: str = _beside("_probe").answer(packaging_folder)
    return said


def _beside(name: str) -> Any:
    """The module in the file beside this one."""
    path = Path(__file__).with_name(f"{name}.py")
    spec = importlib.util.spec_from_file_location(f"_securepip{name}", path)
    if spec is None or spec.loader is None:
        raise ImportError(str(path))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
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
    asked = json.loads(sys.argv[1])
    runner, wanted, loaded = asked["runner"], asked["wanted"], False
    if asked["answer"] is not None:
        with os.fdopen(asked["answer"], "w") as stream:
            stream.write(answer(asked["packaging"]))
    if wanted is None or any(map(is_missing, wanted)):
        load(str(Path(runner).parent.parent))
        loaded = True
    for line in iter(sys.stdin.readline, ""):
        if not loaded:
            load(str(Path(runner).parent.parent))
            loaded = True
        told = json.loads(line)
        if told:
            run(runner, told["arguments"], told["order"], told["shares"])


def run(runner: str, arguments: list[str], order: list[str], shares: list[list[str]]) -> None:
    """Run pip, which ends the process."""
    with Path(os.devnull).open("rb") as nothing:
        os.dup2(nothing.fileno(), sys.stdin.fileno())
    import runpy

    # What is loaded stays: neither the search for garbage nor a copy of the process touches it.
    gc.freeze()
    keep_order(order)
    ask_nobody()
    if len(shares) < 2:
        sys.argv = [runner, *arguments, *chain(*shares)]
        runpy.run_path(runner, run_name="__main__")
        return
    sharing = _beside("_shares").Shares()
    sys.argv = [runner, *arguments, *sharing.begin(shares)]
    try:
        runpy.run_path(runner, run_name="__main__")
    except BaseException as end:
        code = sharing.finish(end.code if isinstance(end, SystemExit) else 1)
        if isinstance(end, SystemExit):
            sys.exit(code)
        raise


if __name__ == "__main__":
    main()
