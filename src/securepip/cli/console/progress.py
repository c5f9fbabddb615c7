"""The progress display on a terminal: downloads, metadata, and the current step of a build.

Rule: it appears only on a terminal. Elsewhere only pip's lines are printed. ``rich`` is imported
only after ``_PATIENCE_SECONDS``: most installs end before that.
"""

from __future__ import annotations

import logging
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from securepip.cli.console import lines
from securepip.formats.words import in_units

if TYPE_CHECKING:
    from rich.console import ConsoleRenderable
    from rich.table import Table

    from securepip.transport.client import Traffic

_PATIENCE_SECONDS = 0.5
"""The display starts after this time."""

_RAW_SECONDS = 0.25
"""The least time between two lines of ``--progress-bar raw``."""

_REFRESHES = 5
"""How often the display is drawn in a second."""

_NARROW_COLUMNS = 60
"""Below this width of the terminal, bars and speeds are left out."""

_log = logging.getLogger("securepip.downloads")


@dataclass
class _Row:
    """One download that is under way.

    Attributes:
        name: The name of the file.
        size: Its size in bytes.
        done: How many bytes have arrived.
        began: When it began, by the monotonic clock.
    """

    name: str
    size: int
    done: int = 0
    began: float = field(default_factory=time.monotonic)


class Display:
    """Shows what a command waits for. Its methods may be called from any thread.

    Implements ``index.Downloads``. Use it as a context manager: the display disappears when the
    ``with`` block ends; printed lines stay.

    Args:
        bar: The value of ``--progress-bar``: ``raw`` prints lines for programs, ``off`` shows no
            display, ``on`` and ``auto`` show it on a terminal.
    """

    def __init__(self, bar: str = "auto") -> None:
        self._moves = bar in ("on", "auto") and lines.may_move()
        self._raw = bar == "raw" and not lines.is_quiet()
        self._traffic: Traffic | None = None
        self._rows: list[_Row] = []
        self._step: tuple[str, float] | None = None
        self._counted: tuple[str, int, int] | None = None
        self._expected = self._received = self._files = 0
        self._raw_said = 0.0
        self._named: set[str] = set()
        self._over = threading.Event()
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()

    def __enter__(self) -> Display:
        if self._moves:
            self._over = threading.Event()
            lines.show_steps_with(self._at_step)
            self._thread = threading.Thread(target=self._run, name="display", daemon=True)
            self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._over.set()
        if self._thread is not None:
            lines.show_steps_with(None)
            self._thread.join()

    def watch(self, traffic: Traffic) -> None:
        """Show how much metadata has arrived, as ``traffic`` counts it."""
        self._traffic = traffic

    def expect(self, sizes: list[int]) -> None:
        """As ``index.Downloads.expect``."""
        with self._lock:
            self._files += len(sizes)
            self._expected += sum(sizes)

    def cached(self, filename: str, size: int) -> None:
        """As ``index.Downloads.cached``."""
        with self._lock:
            is_new = filename not in self._named
            self._named.add(filename)
            self._files -= 1
            self._expected -= size
        if is_new:  # otherwise this run has itself downloaded it, to read its requirements
            _log.info("Using cached %s (%s)", filename, in_units(size))

    @contextmanager
    def download(self, filename: str, size: int) -> Iterator[Callable[[int], None]]:
        """As ``index.Downloads.download``."""
        _log.info("Downloading %s (%s)", filename, in_units(size))
        row = _Row(filename, size)
        with self._lock:
            self._named.add(filename)
            self._rows.append(row)

        def add(received: int) -> None:
            with self._lock:
                row.done += received
                self._received += received
                self._say_raw()

        try:
            yield add
        finally:
            with self._lock:
                self._rows.remove(row)

    def count(self, what: str, done: int, total: int) -> None:
        """Show the progress of work that is neither a download nor a build.

        Args:
            what: What is counted, in the user's words.
            done: How many are done.
            total: How many there are.
        """
        with self._lock:
            self._counted = (what, done, total)

    def _say_raw(self) -> None:
        """Print pip's progress line for programs, for the sum of all downloads."""
        now, is_last = time.monotonic(), self._received == self._expected
        if self._raw and (is_last or now - self._raw_said > _RAW_SECONDS):
            self._raw_said = now
            lines.say_machine(f"Progress {self._received} of {self._expected}")

    def _at_step(self, step: str | None) -> None:
        self._step = None if step is None else (step, time.monotonic())

    def _run(self) -> None:
        if self._over.wait(_PATIENCE_SECONDS):
            return
        from rich.console import Console
        from rich.live import Live

        with Live(
            get_renderable=self._look,
            console=Console(stderr=True, no_color=not lines.has_colour(), highlight=False),
            auto_refresh=False,
            transient=True,
            # Lines printed meanwhile appear above the display, unless they go to a file.
            redirect_stdout=sys.stdout.isatty(),
        ) as live:
            while not self._over.wait(1 / _REFRESHES):
                live.refresh()

    def _look(self) -> Table:
        """The current display, with a line for each download, no higher than the terminal."""
        from rich.console import Console
        from rich.table import Table

        width, height = Console(stderr=True).size
        table = Table.grid(padding=(0, 1))
        table.add_column(no_wrap=True, overflow="ellipsis", ratio=1 if width < 100 else None)
        table.expand = width < 100
        with self._lock:
            rows, step, counted = list(self._rows), self._step, self._counted
            files, received, expected = self._files, self._received, self._expected
        columns = 3 if width < _NARROW_COLUMNS else 5
        for _ in range(columns - 1):
            table.add_column(no_wrap=True, justify="right")
        shown = rows[: max(1, min(8, height - 3))]
        for row in shown:
            table.add_row(*_cells(row.name, row.done, row.size, row.began, columns))
        if len(rows) > 1 or (rows and files > 1):
            began = min(row.began for row in rows)
            under_way = sum(row.done for row in rows)
            name = f"Total of {files} files" if width >= _NARROW_COLUMNS else "Total"
            table.add_row(*_cells(name, received, expected, began, columns, under_way))
        if rows:
            return table
        if step is not None:
            return _line(f"{step[0]} ({time.monotonic() - step[1]:.0f} s)")
        if counted is not None:
            return _line("{}: {} of {}".format(*counted))
        if self._traffic is not None and self._traffic.requests:
            return _line(f"Signed metadata: {in_units(self._traffic.bytes)}")
        return table


def _line(text: str) -> Table:
    from rich.table import Table
    from rich.text import Text

    table = Table.grid()
    table.add_column(no_wrap=True, overflow="ellipsis")
    table.add_row(Text(text))
    return table


def _cells(
    name: str, done: int, size: int, began: float, columns: int, lately: int | None = None
) -> list[ConsoleRenderable]:
    """The cells of a row: name, bar, sizes, speed and time left.

    Args:
        name: What the row shows.
        done: How many bytes have arrived.
        size: How many are expected.
        began: When the download began, by the monotonic clock.
        columns: 5, or 3 to leave out the bar and the speed.
        lately: How many of the bytes have arrived since ``began``; None for all of them.
    """
    from rich.progress_bar import ProgressBar
    from rich.text import Text

    recent = done if lately is None else lately
    speed = recent / max(time.monotonic() - began, 0.1)
    left = _time((size - done) / speed) if speed and done <= size else "-:--:--"
    sizes = Text(f"{_number(done, size)}/{in_units(size)}", "green")
    if columns == 3:
        return [Text(name), sizes, Text(left, "cyan")]
    bar = ProgressBar(total=max(size, 1), completed=done, width=20)
    return [Text(name), bar, sizes, Text(f"{in_units(speed)}/s", "red"), Text(left, "cyan")]


def _number(done: int, size: int) -> str:
    """``done`` in the unit that ``size`` is shown in."""
    unit = in_units(size).rpartition(" ")[2]
    return {"MB": f"{done / 1e6:.1f}", "kB": f"{done / 1e3:.0f}"}.get(unit, str(done))


def _time(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{rest:02}"
