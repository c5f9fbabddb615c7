"""Run the fuzzer: each target in a new process, for so many seconds."""

from __future__ import annotations

import argparse
import base64
import importlib.util
import io
import random
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from datetime import date
from pathlib import Path

CORPUS = Path(__file__).with_name("corpus")
REACHED = CORPUS / "reached.tar.xz"
"""Inputs of all targets, which reach different lines: a run starts from them."""

CHECKOUT = Path(__file__).resolve().parents[2]
FOUND = CHECKOUT / "scratch" / "fuzzing"
_HERE, _AGAIN = "--in-this-process", "--again"
_A_DAY = 4
_MAX_BYTES = 1 << 16
_MAX_KEPT_BYTES = 4096
_HANG_SECONDS = 20
_GRACE_SECONDS = 240
_MEMORY_MB = 2048


def main() -> int:
    """Run these targets, or all, and return 1 if one of them has a fault."""
    from tests.fuzzing.targets import TARGETS

    parser = argparse.ArgumentParser(prog="python -m tests.fuzzing", description=__doc__)
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=", ".join(TARGETS))
    parser.add_argument("--seconds", type=int, default=30, help="for each target (default: 30)")
    parser.add_argument("--jobs", type=int, default=2, help="targets at a time (default: 2)")
    parser.add_argument(
        "--today", action="store_true", help=f"{_A_DAY} of the targets, others each day"
    )
    parser.add_argument("--keep", action="store_true", help=f"put what was reached in {REACHED}")
    options = parser.parse_args()
    if options.keep:
        return _keep(list(TARGETS))
    names = options.targets or (_of_the_day(list(TARGETS)) if options.today else list(TARGETS))
    unknown = [name for name in names if name not in TARGETS]
    if unknown:
        parser.error(f"no such target: {', '.join(unknown)}")
    with ThreadPoolExecutor(options.jobs) as pool:
        codes = list(pool.map(lambda name: _start(name, options.seconds), names))
    return int(any(codes))


def _of_the_day(names: list[str]) -> list[str]:
    first = date.today().toordinal() * _A_DAY
    return [names[(first + each) % len(names)] for each in range(_A_DAY)]


def _start(name: str, seconds: int) -> int:
    code, lines = _run([_HERE, name, str(seconds)], seconds + _GRACE_SECONDS)
    runs = [line for line in lines if "runs" in line.lower()][-1:]
    if not code:
        print(f"{name:16} ok {''.join(runs)}", flush=True)
        return 0
    return _judge(name, lines)


def _run(words: list[str], seconds: float) -> tuple[int, list[str]]:
    """Run this module in a new process, and return its exit code and output."""
    with subprocess.Popen(
        [sys.executable, "-m", "tests.fuzzing", *words],
        cwd=CHECKOUT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    ) as process:
        try:
            said, _ = process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            return 1, ["it does not end"]
    return process.returncode, said.decode(errors="replace").splitlines()


def _judge(name: str, lines: list[str]) -> int:
    """Try a found input again: on a busy machine, a run can be slow without a fault."""
    inputs = sorted(FOUND.glob(f"{name}-*"), key=lambda path: path.stat().st_mtime)
    if not inputs:
        print(f"{name:16} FAULT\n" + "\n".join(lines[-60:]), flush=True)
        return 1
    data = inputs[-1].read_bytes()
    code, again = _run([_AGAIN, name, str(inputs[-1])], 3 * _HANG_SECONDS)
    print(
        f"{name:16} {'FAULT' if code else 'ok, for what was found does not come again'}\n"
        f"{data[:2000]!r}\nbase64 {base64.b64encode(data[:20_000]).decode()}\n"
        + "\n".join((again if code else lines)[-30:]),
        flush=True,
    )
    if code:
        print(f"When it is mended, keep {inputs[-1]} in {CORPUS / name}.", flush=True)
    return code


def _fuzz(name: str, seconds: int) -> int:
    """Fuzz a target in this process, until its time is over or it has a fault."""
    with _instrumented():
        from tests.fuzzing.targets import TARGETS
    target, known, found = TARGETS[name], CORPUS / name, FOUND / name
    for folder in (known, found):
        folder.mkdir(parents=True, exist_ok=True)
    for old in FOUND.glob(f"{name}-*"):
        old.unlink()
    with tarfile.open(REACHED) as reached:
        for member in reached:
            whose, _, inside = member.name.partition("/")
            stream = reached.extractfile(member)
            if whose == name and stream is not None:
                (found / inside).write_bytes(stream.read())
    for number, seed in enumerate(target.seeds()):
        (found / f"seed-{number}").write_bytes(seed)
    if importlib.util.find_spec("atheris") is None:
        return _without_atheris(name, target.run, [*found.iterdir(), *known.iterdir()], seconds)
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


def _keep(names: list[str]) -> int:
    """Add the inputs of this machine's runs that reach further lines to the corpus."""
    with tarfile.open(REACHED, "w:xz") as archive:
        for name in names:
            for path in sorted((FOUND / name).iterdir()):
                data = path.read_bytes()
                if len(data) <= _MAX_KEPT_BYTES and not path.name.startswith("seed-"):
                    member = tarfile.TarInfo(f"{name}/{path.name[:12]}")
                    member.size = len(data)
                    archive.addfile(member, io.BytesIO(data))
    return 0


def _instrumented() -> AbstractContextManager[object]:
    """Let the fuzzer see which lines of securepip an input reaches, if there is one."""
    if importlib.util.find_spec("atheris") is None:
        return nullcontext()
    import atheris

    context: AbstractContextManager[object] = atheris.instrument_imports(include=["securepip"])
    return context


def _without_atheris(
    name: str, run: Callable[[bytes], None], files: list[Path], seconds: int
) -> int:
    """Change bytes of known inputs at random. Each input is on disk before it is tried."""
    seed = time.time_ns()
    chance, known = random.Random(seed), [path.read_bytes() for path in files]
    end, runs, tried = time.monotonic() + seconds, 0, FOUND / f"{name}-tried"
    while time.monotonic() < end:
        data = bytearray(chance.choice(known))
        for _ in range(chance.randint(1, 8)):
            at = chance.randint(0, len(data))
            cut = chance.randint(0, 8)
            data[at : at + cut] = chance.randbytes(chance.randint(0, 8)) * chance.choice((1, 1, 99))
        tried.write_bytes(data)
        run(bytes(data))
        runs += 1
    tried.unlink(missing_ok=True)
    print(f"{runs} runs, seed {seed}")
    return 0


def _again(name: str, path: Path) -> int:
    from tests.fuzzing.targets import TARGETS

    TARGETS[name].run(path.read_bytes())
    return 0


if __name__ == "__main__":
    if sys.argv[1:2] == [_HERE]:
        sys.exit(_fuzz(sys.argv[2], int(sys.argv[3])))
    if sys.argv[1:2] == [_AGAIN]:
        sys.exit(_again(sys.argv[2], Path(sys.argv[3])))
    sys.exit(main())
