"""Runs a command in a terminal."""

from __future__ import annotations

import fcntl
import os
import pty
import struct
import subprocess
import sys
import termios

from tests.support.machine import Finished, Machine


def run_in_terminal(machine: Machine, *words: str, columns: int = 80, **variables: str) -> Finished:
    """Run securepip in a terminal of so many columns; ``out`` has its errors, too."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    shown = {
        "PYTHONPATH": os.pathsep.join(sys.path),
        "TERM": "xterm-256color",
        "COLUMNS": str(columns),
    }
    try:
        with subprocess.Popen(
            [sys.executable, "-m", "securepip", *words],
            env={**machine.variables, **shown, **variables},
            stdin=slave,
            stdout=slave,
            stderr=slave,
        ) as process:
            os.close(slave)
            written = b""
            try:
                while piece := os.read(master, 4096):
                    written += piece
            except OSError:  # the end of a terminal's output
                pass
    finally:
        os.close(master)
    return Finished(process.returncode, written.decode(), "")
