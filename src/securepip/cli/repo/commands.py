"""``securepip repo``: makes and keeps a signed repository."""

from __future__ import annotations

import argparse

from securepip.cli.repo import (
    audit,
    ceremony,
    claims,
    everyday,
    recover,
    rotate,
    serve,
    status,
    sync,
)


def complete(parser: argparse.ArgumentParser) -> None:
    """Add the commands of ``repo``."""
    inner = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for room in (everyday, serve, status, sync, claims, rotate, ceremony, audit, recover):
        room.add_to(inner)
