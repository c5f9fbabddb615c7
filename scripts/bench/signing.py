"""Measures signing at scale, for the tables of docs/scale.md.

    python scripts/bench/signing.py sign [--targets 2273539]   # first signing, renewal, the wire
    python scripts/bench/signing.py commands FOLDER            # a repository that `sign` has kept
    python scripts/bench/signing.py sync [--projects 5000 …]   # from a loopback index
    python scripts/bench/signing.py add [--files 1000]         # one batch of uploads
    python scripts/bench/signing.py wire [--targets 22735390]  # computed from 60 bins, not signed

Each prints a table in Markdown, with the limit (`bar`) beside each figure. `sign --keep FOLDER`
keeps its repository for `commands`. `sign` is compared with a plain loop over python-tuf that signs
such bins one after the other; its rate is measured over 300 bins.
"""

from __future__ import annotations

import argparse
import asyncio
import gzip
import hashlib
import json
import math
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from functools import partial
from pathlib import Path

# The worker processes of a sync import this file, too, and need none of these modules.
if __name__ != "__mp_main__":
    from packaging.utils import NormalizedName
    from securesystemslib.signer import CryptoSigner
    from tuf.api.metadata import Metadata, MetaFile, Snapshot, TargetFile, Targets

    from securepip.formats.digests import sha256_of
    from securepip.formats.layout import BINS_ROLE, CLAIMED_ROLE, RECENTLY_CLAIMED_ROLE, page_target
    from securepip.formats.roles import name_role
    from securepip.signing.keys.canonical import sign_anew
    from securepip.signing.publish.add import add
    from securepip.signing.publish.bins import bin_count
    from securepip.signing.publish.create import create
    from securepip.signing.repository.bins import Edits
    from securepip.signing.repository.repository import Repository

PEP_TARGETS = 2_273_539
PEP_BYTES = 2_184_393
"""The size of the average distribution in Table 3 of PEP 458."""
FILES = 8
"""The number of distributions of each project."""
_PLAIN_BINS = 300


def main() -> None:
    """Measure one part and print its table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parts = parser.add_subparsers(required=True)
    part = parts.add_parser("sign")
    part.add_argument("--targets", type=int, default=PEP_TARGETS)
    part.add_argument("--keep", type=Path)
    part.set_defaults(run=lambda given: sign(given.targets, given.keep))
    part = parts.add_parser("commands")
    part.add_argument("folder", type=Path)
    part.set_defaults(run=lambda given: commands(given.folder))
    part = parts.add_parser("sync")
    part.add_argument("--projects", type=int, nargs="+", default=[1000, 5000])
    part.set_defaults(run=lambda given: sync(given.projects))
    part = parts.add_parser("wire")
    part.add_argument("--targets", type=int, default=10 * PEP_TARGETS)
    part.set_defaults(run=lambda given: computed_wire(given.targets))
    part = parts.add_parser("add")
    part.add_argument("--files", type=int, default=1000)
    part.set_defaults(run=lambda given: add_many(given.files))
    part = parts.add_parser("index")
    part.add_argument("projects", type=int)
    part.set_defaults(run=lambda given: asyncio.run(serve_index(given.projects)))
    part = parts.add_parser("one-sync")
    part.add_argument("folder", type=Path)
    part.add_argument("url")
    part.add_argument("projects", type=int)
    part.set_defaults(run=lambda given: one_sync(given.folder, given.url, given.projects))
    given = parser.parse_args()
    given.run(given)


def row(*cells: object) -> None:
    """Print one row of a table."""
    print("| " + " | ".join(map(str, cells)) + " |", flush=True)


def head(*cells: str) -> None:
    """Print the head of a table."""
    row(*cells)
    row(*("---" for _ in cells))


@contextmanager
def workshop(keep: Path | None = None) -> Iterator[Path]:
    """A folder for the repository and its keys; a temporary one if ``keep`` is None."""
    if keep is not None:
        keep.mkdir(parents=True)
        yield keep
        return
    with tempfile.TemporaryDirectory(prefix="securepip-bench-") as folder:
        yield Path(folder)


def new_repository(folder: Path, targets: int) -> Repository:
    """Make an empty repository for this number of targets."""
    keys = folder / "keys"
    return create(
        folder / "repository",
        expected_files=targets,
        online_keys=keys / "online",
        offline_keys=keys / "offline",
    ).repository


def made_targets(count: int) -> Iterator[tuple[str, TargetFile]]:
    """Generate pages and distributions with names as long as real ones."""
    yield from map(made_target, range(count))


def made_target(number: int) -> tuple[str, TargetFile]:
    """One generated page or distribution."""
    project, which = divmod(number, FILES + 1)
    name = f"made-project-{project}"
    path = (
        page_target(NormalizedName(name))
        if which == 0
        else f"packages/{name}/made_project_{project}-1.{which}.0-py3-none-any.whl"
    )
    digest = hashlib.sha256(path.encode()).hexdigest()
    return path, TargetFile(10_000 + number, {"sha256": digest}, path)


def peak() -> float:
    """The peak memory in MB: of this process, plus the largest child's once per processor."""
    own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    children = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    return (own + children * (os.cpu_count() or 1)) / 1024


def timed(work: Callable[[], object]) -> float:
    """Run ``work``; the seconds that it took."""
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def processor() -> float:
    """The processor seconds so far, of this process and of its children that have ended."""
    return sum(os.times()[:4])


def plain_rate(per_bin: int) -> tuple[float, float]:
    """The rate of the plain loop: targets per second, and per processor second."""
    signer = CryptoSigner.generate_ed25519()
    groups = [dict(made_targets(per_bin)) for _ in range(_PLAIN_BINS)]
    with tempfile.TemporaryDirectory() as folder:

        def work() -> None:
            for number, group in enumerate(groups):
                role = Metadata(Targets())
                for path, target in group.items():
                    role.signed.targets[path] = TargetFile(target.length, target.hashes, path)
                role.sign(signer)
                role.to_file(f"{folder}/1.bin-{number:04x}.json")

        before = processor()
        seconds = timed(work)
        made = per_bin * _PLAIN_BINS
        return made / seconds, made / (processor() - before)


def sign(count: int, keep: Path | None) -> None:
    """Measure the first signing of ``count`` targets, a renewal of all bins, and the wire."""
    with workshop(keep) as folder:
        made = timed(lambda: new_repository(folder, count).state.close())
        with Repository.open(folder / "repository") as repository, repository.lock():
            roles = repository.roles()
            bins = roles.succinct.number_of_bins
            plain, plain_processor = plain_rate(max(count // bins, 1))
            edits = Edits()

            def collect() -> None:
                for path, target in made_targets(count):
                    edits.put({path: (roles.bin_of(path), target)})

            collected = timed(collect)
            before = processor()
            first = timed(lambda: repository.sign({}, bins=edits))
            spent = processor() - before
            edits.close()
            most = peak()
            every = [(name, b"") for name in repository.roles().bin_names()]
            renewed = timed(lambda: repository.sign({}, bins=every))
        print(f"\n{count:,} targets in {bins:,} bins (`create` itself: {made:.0f} s)\n")
        head("what", "measured", "bar")
        row("collecting what changes", f"{count / collected:,.0f} targets/s", "")
        row("first signing", f"{first:.0f} s, {count / first:,.0f} targets/s", "")
        ratio = count / first / plain
        row("against the plain script", f"{ratio:.1f} times its {plain:,.0f} targets/s", "2 times")
        row("processor time of it", f"{spent:.0f} s; plain: {count / plain_processor:.0f} s", "")
        row("peak memory, all processes", f"{most:,.0f} MB", "1,024 MB")
        row("renewal of all bins", f"{renewed:.0f} s", "60 s")
        wire(folder / "repository")


def wire(folder: Path) -> None:
    """Print how many bytes of metadata clients fetch, compressed as by `repo serve`."""

    def size(name: str) -> int:
        return len(gzip.compress((folder / "metadata" / name).read_bytes(), 9))

    with Repository.open(folder) as repository:
        roles = repository.roles()

        def of(name: str) -> int:
            return size(f"{roles.meta(name).version}.{name}.json")

        timestamp = size("timestamp.json")
        snapshot = size(f"{roles.snapshot.signed.version}.snapshot.json")
        frame = ("targets", CLAIMED_ROLE, RECENTLY_CLAIMED_ROLE, BINS_ROLE)
        above = size("1.root.json") + sum(map(of, frame))
        some = [name for _, name in zip(range(60), roles.bin_names(), strict=False)]
        one_bin = sum(map(of, some)) / len(some)
    show_wire(timestamp, snapshot, above, one_bin)


def computed_wire(count: int) -> None:
    """Print the same for a larger repository, of which only some bins and a snapshot are made."""
    bins, some = bin_count(count), 60
    chance, signer = random.Random(0), CryptoSigner.generate_ed25519()  # noqa: S311 # no secret
    digits = len(f"{bins - 1:x}")

    def in_a_bin() -> int:
        return max(0, round(chance.gauss(count / bins, math.sqrt(count / bins))))

    def signed(metadata: Metadata[Targets] | Metadata[Snapshot], name: str) -> bytes:
        metadata.signed.version = 2
        if isinstance(metadata.signed, Targets):
            name_role(metadata.signed, name, sha256_of(b"of no repository"))
        return sign_anew(metadata, [signer], name)

    def one_bin(number: int) -> tuple[int, bytes]:
        role = Metadata(Targets())
        numbers = chance.sample(range(count), in_a_bin())
        role.signed.targets = dict(map(made_target, numbers))
        return len(numbers), signed(role, f"bin-{number:0{digits}x}")

    made = [one_bin(number) for number in range(some)]
    empty = len(signed(Metadata(Targets()), f"bin-{0:0{digits}x}"))
    a_target = sum(len(data) - empty for _, data in made) / sum(held for held, _ in made)
    snapshot = Metadata(Snapshot())
    for number in range(bins):
        length = empty + round(in_a_bin() * a_target + chance.gauss(0, 3 * math.sqrt(some)))
        snapshot.signed.meta[f"bin-{number:0{digits}x}.json"] = MetaFile(2, length)
    sizes = [len(gzip.compress(data, 9)) for _, data in made]
    print(f"\n{count:,} targets in {bins:,} bins, computed from {some} of them\n")
    whole = len(gzip.compress(signed(snapshot, "snapshot"), 9))
    show_wire(400, whole, 3_000, sum(sizes) / some)


def show_wire(timestamp: int, snapshot: int, above: int, one_bin: float) -> None:
    """Print the table from compressed lengths; ``above`` is that of root and upper roles."""
    print("\nMetadata on the wire, compressed, and its part of the distributions' bytes\n")
    head("user", "1 distribution", "30 distributions", "bar (1)", "PEP 458")
    users = (
        ("same snapshot", lambda n: timestamp, "1.5 %", "5 %"),
        ("new snapshot", lambda n: timestamp + snapshot + 2 * n * one_bin, "5 %", "9 %"),
        ("new user", lambda n: above + timestamp + snapshot + 2 * n * one_bin, "5.5 %", "69 %"),
    )
    for user, cost, bar, pep in users:
        cells = [f"{cost(n):,.0f} ({cost(n) / n / PEP_BYTES:.2%})" for n in (1, 30)]
        row(user, *cells, bar, pep)
    row("", f"snapshot {snapshot:,}", f"a bin {one_bin:,.0f}", "", "")


def commands(folder: Path) -> None:
    """Measure everyday commands over full bins, each in its own process."""
    head("command", "seconds", "bar")
    repository = folder / "repository"
    with tempfile.TemporaryDirectory() as work:
        wheel = make_wheel(Path(work), "one-more", "1.0")
        newer = make_wheel(Path(work), "one-more", "2.0")
        for name, bar, arguments in (
            ("status (the first after `sign`)", "", ["status", repository]),
            ("add, a new project", "0.5", ["add", repository, wheel]),
            ("add, one file more", "0.5", ["add", repository, newer]),
            ("status", "0.5", ["status", repository]),
            ("refresh, nothing due", "", ["refresh", repository]),
            ("refresh, again", "0.5", ["refresh", repository]),
            ("remove", "0.5", ["remove", repository, "one-more==1.0"]),
        ):
            command = [sys.executable, "-m", "securepip", "repo", *map(str, arguments)]
            row(name, f"{timed(partial(run, command)):.2f}", bar)


def run(command: list[str]) -> None:
    """Run a command, and print the end of its errors if it fails."""
    process = subprocess.run(command, capture_output=True, text=True)
    if process.returncode:
        print(process.stderr[-800:], file=sys.stderr)


def make_wheel(folder: Path, project: str, version: str) -> Path:
    """Make a small wheel."""
    from zipfile import ZipFile

    stem = f"{project.replace('-', '_')}-{version}"
    path = folder / f"{stem}-py3-none-any.whl"
    info = f"{stem}.dist-info"
    with ZipFile(path, "w") as archive:
        about = f"Metadata-Version: 2.1\nName: {project}\nVersion: {version}\n"
        archive.writestr(f"{info}/METADATA", about)
        tags = "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        archive.writestr(f"{info}/WHEEL", tags)
        archive.writestr(f"{info}/RECORD", "")
    return path


def add_many(count: int) -> None:
    """Measure one batch of uploads."""
    with workshop() as folder, new_repository(folder, PEP_TARGETS // 100) as repository:
        wheels = folder / "wheels"
        wheels.mkdir()
        paths = [make_wheel(wheels, f"p{n // 4}", f"1.{n % 4}") for n in range(count)]
        before = repository.roles().snapshot.signed.version
        seconds = timed(lambda: add(repository, paths))
        head("batch", "measured", "bar")
        snapshots = repository.roles().snapshot.signed.version - before
        row(f"{count:,} files", f"{count / seconds:,.0f} files/s", "500 files/s")
        row("snapshots", snapshots, 1)


def sync(sizes: list[int]) -> None:
    """Measure a first sync, and one with nothing new, from an index on loopback."""
    head("projects", "first sync", "targets/s", "peak MB", "nothing new", "projects/s")
    for projects in sizes:
        with workshop() as folder:
            new_repository(folder, projects * (FILES + 1)).state.close()
            with index(projects) as url:
                arguments = ["one-sync", str(folder / "repository"), url, str(projects)]
                first, most = measured(arguments)
                again, _ = measured(arguments)
            targets = projects * (FILES + 1) / first
            row(
                f"{projects:,}", f"{first:.1f} s", f"{targets:,.0f}", f"{most:.0f}",
                f"{again:.1f} s", f"{projects / again:,.0f}",
            )  # fmt: skip
    row("bar", "", "5,000", "< 20 % more", "", "2,000")


def measured(arguments: list[str]) -> tuple[float, float]:
    """Run one sync in its own process; the seconds and MB that it prints."""
    command = [sys.executable, __file__, *arguments]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    seconds, memory = json.loads(output.splitlines()[-1])
    return seconds, memory


def one_sync(folder: Path, url: str, projects: int) -> None:
    """Sync, and print seconds and the peak memory of this process in MB."""
    from securepip.signing.overlay.sync import SyncOptions
    from securepip.signing.overlay.sync import sync as sign_what_is_offered
    from securepip.signing.overlay.upstream.sources import open_sources
    from securepip.transport import Transport

    with Repository.open(folder) as repository:
        known = bool(repository.projects())
        names = [] if known else [NormalizedName(f"p{number}") for number in range(projects)]
        with closing(Transport()) as transport:
            sources = open_sources([url], (), transport)
            options = SyncOptions(names)
            seconds = timed(lambda: sign_what_is_offered(repository, sources, transport, options))
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps([seconds, memory]))


@contextmanager
def index(projects: int) -> Iterator[str]:
    """Serve an index of generated pages in its own process; yields its URL."""
    command = [sys.executable, __file__, "index", str(projects)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip()
        finally:
            process.kill()


async def serve_index(projects: int) -> None:
    """Serve generated JSON pages with ETags until the process is ended."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.IncompleteReadError):  # the client has closed the connection
            while request := await reader.readuntil(b"\r\n\r\n"):
                name = request.split(b" ", 2)[1].decode().strip("/").rpartition("/")[2]
                writer.write(answer(name, request))

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()[:2]
    print(f"http://{host}:{port}/simple/", flush=True)
    async with server:
        await server.serve_forever()


def answer(name: str, request: bytes) -> bytes:
    """The answer to a request: a page, or 304 if the client has it."""
    etag = f'"{name}"'
    if f"If-None-Match: {etag}".encode() in request:
        return f"HTTP/1.1 304 Not Modified\r\nETag: {etag}\r\n\r\n".encode()
    files = [
        {
            "filename": f"{name}-1.{n}.0-py3-none-any.whl",
            "url": f"https://files.example.org/{name}/{name}-1.{n}.0-py3-none-any.whl",
            "hashes": {"sha256": hashlib.sha256(f"{name}{n}".encode()).hexdigest()},
            "size": 10_000 + n,
            "upload-time": "2024-01-01T00:00:00.000000Z",
            "core-metadata": {"sha256": hashlib.sha256(f"m{name}{n}".encode()).hexdigest()},
        }
        for n in range(FILES)
    ]
    body = json.dumps({"meta": {"api-version": "1.1"}, "name": name, "files": files}).encode()
    kind = "application/vnd.pypi.simple.v1+json"
    head = (
        f"HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n"
        f"ETag: {etag}\r\n\r\n"
    )
    return head.encode() + body


if __name__ == "__main__":
    main()
