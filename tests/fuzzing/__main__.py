"""Run the fuzzer: each target in a process of its own, for so many seconds."""

from __future__ import annotations

import argparse
import importlib.util
import random
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

CORPUS = Path(__file__).with_name("corpus")
CHECKOUT = Path(__file__).resolve().parents[2]
FOUND = CHECKOUT / "scratch" / "fuzzing"
_HERE = "--in-this-process"
_MAX_BYTES = 1 << 16
_HANG_SECONDS = 20
_GRACE_SECONDS = 240
_MEMORY_MB = 2048


def main() -> int:
    """Run the targets that are named, or all; end with 1 if one of them finds a fault."""
    from tests.fuzzing.targets import TARGETS

    parser = argparse.ArgumentParser(prog="python -m tests.fuzzing", description=__doc__)
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=", ".join(TARGETS))
    parser.add_argument("--seconds", type=int, default=30, help="for each target (default: 30)")
    parser.add_argument("--jobs", type=int, default=2, help="targets at a time (default: 2)")
    options = parser.parse_args()
    names = options.targets or list(TARGETS)
    unknown = [name for name in names if name not in TARGETS]
    if unknown:
        parser.error(f"no such target: {', '.join(unknown)}")
    with ThreadPoolExecutor(options.jobs) as pool:
        codes = list(pool.map(lambda name: _start(name, options.seconds), names))
    return int(any(codes))


def _start(name: str, seconds: int) -> int:
    words = [sys.executable, "-m", "tests.fuzzing", _HERE, name, str(seconds)]
    with subprocess.Popen(
        words,
        cwd=CHECKOUT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    ) as process:
        try:
            said, _ = process.communicate(timeout=seconds + _GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            print(f"{name:16} FAULT it does not end", flush=True)
            return 1
    lines = said.decode(errors="replace").splitlines()
    runs = [line for line in lines if "runs" in line.lower()][-1:]
    print(f"{name:16} {'ok' if process.returncode == 0 else 'FAULT'} {''.join(runs)}", flush=True)
    if process.returncode:
        print("\n".join(lines[-60:]), flush=True)
    return process.returncode


def _fuzz(name: str, seconds: int) -> int:
    """Fuzz one target in this process, until its time is over or it finds a fault."""
    with _instrumented():
        from tests.fuzzing.targets import TARGETS
    target, known, found = TARGETS[name], CORPUS / name, FOUND / name
    for folder in (known, found):
        folder.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(target.seeds()):
        (found / f"seed-{number}").write_bytes(seed)
    if importlib.util.find_spec("atheris") is None:
        return _without_atheris(target.run, [*found.iterdir(), *known.iterdir()], seconds)
    import atheris

    words = [
        f"-max_total_time={seconds}",
        f"-timeout={_HANG_SECONDS}",
        f"-rss_limit_mb={_MEMORY_MB}",
        f"-max_len={_MAX_BYTES}",
        f"-artifact_prefix={found}-",
        "-print_final_stats=1",
    ]
    atheris.Setup([sys.argv[0], *words, str(found), str(known)], target.run)
    atheris.Fuzz()
    return 0


def _instrumented() -> AbstractContextManager[object]:
    """Have the fuzzer see which lines of securepip an input reaches, where there is a fuzzer."""
    if importlib.util.find_spec("atheris") is None:
        return nullcontext()
    import atheris

    context: AbstractContextManager[object] = atheris.instrument_imports(include=["securepip"])
    return context


def _without_atheris(run: Callable[[bytes], None], files: list[Path], seconds: int) -> int:
    """Change bytes of what is known at random, and say the seed, which repeats a fault."""
    seed = time.time_ns()
    chance, known = random.Random(seed), [path.read_bytes() for path in files]
    end, runs = time.monotonic() + seconds, 0
    while time.monotonic() < end:
        data = bytearray(chance.choice(known))
        for _ in range(chance.randint(1, 8)):
            at = chance.randint(0, len(data))
            cut = chance.randint(0, 8)
            data[at : at + cut] = chance.randbytes(chance.randint(0, 8)) * chance.choice((1, 1, 99))
        try:
            run(bytes(data))
        except BaseException:
            print(f"seed {seed}: {bytes(data)!r}")
            raise
        runs += 1
    print(f"{runs} runs, seed {seed}")
    return 0


if __name__ == "__main__":
    if sys.argv[1:2] == [_HERE]:
        sys.exit(_fuzz(sys.argv[2], int(sys.argv[3])))
    sys.exit(main())
