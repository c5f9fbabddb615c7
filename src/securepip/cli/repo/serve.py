"""``repo serve``, ``repo worker``, ``repo token``: the repository over HTTP, with uploads."""

from __future__ import annotations

import argparse
import signal
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from importlib.util import find_spec
from typing import TYPE_CHECKING

from securepip.cli import console
from securepip.cli.keys import add_key_options, keys_of
from securepip.cli.options import Commands, new_command
from securepip.cli.parser import MAX_PORT, seconds, whole
from securepip.cli.repo.place import Place, add_folder, place_at
from securepip.errors import UsageError

if TYPE_CHECKING:
    from types import FrameType

    from securepip.signing.publish.serve import RepositoryServer
    from securepip.signing.repository.state.tokens import Token

_MEGABYTE = 1 << 20
_EVERY_PROJECT = "every project"


def add_to(commands: Commands) -> None:
    """Add the commands to those of ``repo``."""
    _add_serve(commands)
    _add_worker(commands)
    _add_token(commands)


@dataclass(frozen=True)
class ServeRequest:
    """``securepip repo serve``.

    Attributes:
        place: The repository; with uploads, also its online key.
        host: The address to listen on.
        port: The port; 0 for any free one.
        uploads: Accept uploads too; with a database, workers publish them.
        max_bytes: The size of the largest file that is accepted.
        insecure_uploads: Accept uploads without TLS also when listening for other machines.
        wait: With a database: how many seconds the answer to an upload waits until it is signed; 0
            answers as soon as it is stored.
    """

    place: Place
    host: str = "127.0.0.1"
    port: int = 0
    uploads: bool = False
    max_bytes: int = 100 * _MEGABYTE
    insecure_uploads: bool = False
    wait: float = 600.0


def _add_serve(commands: Commands) -> None:
    parser = new_command(commands, "serve", "serve the repository over HTTP")
    add_folder(parser)
    parser.add_argument("--host", default="127.0.0.1", help="default: this machine only")
    parser.add_argument(
        "--port", type=whole(0, MAX_PORT), default=0, help="default: any that is free"
    )
    uploads = parser.add_argument_group("options for uploads")
    uploads.add_argument(
        "--uploads", action="store_true",
        help="take uploads of twine, uv, flit and poetry, and publish them; see `repo token`",
    )  # fmt: skip
    uploads.add_argument(
        "--max-upload", type=whole(1, 1_000_000), default=100, metavar="MB",
        help="the largest file that is taken, in megabytes (default: 100)",
    )  # fmt: skip
    uploads.add_argument(
        "--insecure-uploads", action="store_true",
        help="without TLS also from other machines: whoever sees an upload has its token",
    )  # fmt: skip
    uploads.add_argument(
        "--wait", type=seconds(), default=600.0, metavar="SECONDS",
        help="with --database: how long an upload waits until it is signed (default: 600); 0 "
        "answers as soon as it is kept safe",
    )  # fmt: skip
    add_key_options(parser.add_argument_group("options for keys, with --uploads"))
    parser.set_defaults(run=_serve)


def _serve(arguments: argparse.Namespace) -> int:
    return serve(
        ServeRequest(
            Place(arguments.address, keys_of(arguments), database=arguments.database),
            arguments.host,
            arguments.port,
            uploads=arguments.uploads,
            max_bytes=arguments.max_upload * _MEGABYTE,
            insecure_uploads=arguments.insecure_uploads,
            wait=arguments.wait,
        )
    )


def serve(request: ServeRequest) -> int:
    """Serve a repository until the process is interrupted."""
    server = _server(request)

    def stop(_number: int, _frame: FrameType | None) -> None:
        # In another thread: `shutdown` waits for `serve_forever`, which runs in this one.
        threading.Thread(target=server.shutdown, daemon=True).start()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)
    console.say(f"Serving {request.place.address} at {server.url}")
    with server:
        server.serve_forever(poll_interval=0.1)
    return 0


def _server(request: ServeRequest) -> RepositoryServer:
    def log(line: str) -> None:
        console.say(line, level=1)

    place = request.place
    if not request.uploads:
        from securepip.signing.publish.serve import RepositoryServer

        return RepositoryServer(place.site(), request.host, request.port, log)
    if request.max_bytes <= 0:
        raise UsageError("--max-upload: at least 1")
    if find_spec("python_multipart") is None:
        raise UsageError(
            "--uploads needs a package that is not here",
            remedy="In the folder of securepip's source: python -m pip install '.[uploads]'",
        )
    from securepip.engine.opened import database_of
    from securepip.signing.uploads.form import Limits
    from securepip.signing.uploads.server import UploadServer

    limits = Limits(file_bytes=request.max_bytes)
    server: UploadServer
    database = database_of(place.database)
    if database is not None:
        from securepip.engine.front import FrontServer

        server = FrontServer(
            place.address, database, request.host, request.port, log,
            limits=limits, insecure=request.insecure_uploads, wait=request.wait,
        )  # fmt: skip
        console.say(f"Uploads go to {server.upload_url}, and from there to `repo worker`")
        return server

    server = UploadServer(
        place.site(),
        place.opener(),
        request.host,
        request.port,
        log,
        console.say,
        limits=limits,
        insecure=request.insecure_uploads,
    )
    console.say(f"Uploads go to {server.upload_url}")
    return server


def _add_worker(commands: Commands) -> None:
    parser = new_command(
        commands, "worker", "publish the uploads of `repo serve --uploads --database`"
    )
    add_folder(parser)
    add_key_options(parser.add_argument_group("options for keys"))
    parser.set_defaults(run=_worker)


def _worker(arguments: argparse.Namespace) -> int:
    return worker(Place(arguments.address, keys_of(arguments), database=arguments.database))


def worker(place: Place) -> int:
    """Publish uploads and renew signatures until the process is interrupted.

    Raises:
        UsageError: No database is named.
        RepositoryStateError: There is no repository, or its online key is not on this machine.
    """
    from securepip.engine.opened import DATABASE_VARIABLE, database_of

    database = database_of(place.database)
    if database is None:
        raise UsageError(
            "a worker needs the database in which uploads wait",
            remedy=f"Name it with --database or in {DATABASE_VARIABLE}. A repository in a folder "
            "alone needs no worker: securepip repo serve --uploads",
        )
    from securepip.engine.worker import Worker
    from securepip.signing.uploads.server import check_key

    open_repository = place.opener()
    with open_repository() as repository:
        check_key(repository)
    Worker(open_repository, database, console.say).run()
    return 0


def _add_token(commands: Commands) -> None:
    summary = "say who may upload: tokens for `repo serve --uploads`"
    token = commands.add_parser("token", help=summary, description=summary)
    inner = token.add_subparsers(title="commands", metavar="COMMAND", required=True)
    create = new_command(inner, "create", "make a token, and show it once")
    add_folder(create)
    create.add_argument(
        "projects", nargs="*", default=[], metavar="PROJECT", help="what it may upload to"
    )
    create.add_argument(
        "--all-projects", action="store_true", help="every project, also those that come"
    )
    create.add_argument("--note", default="", metavar="TEXT", help="what it is for, in one line")
    create.set_defaults(run=_create)
    listing = new_command(inner, "list", "show the tokens: what each is for, and its last use")
    add_folder(listing)
    listing.set_defaults(run=_list)
    revoke = new_command(inner, "revoke", "let tokens be worth nothing from now on")
    add_folder(revoke)
    revoke.add_argument("tokens", nargs="+", metavar="ID", help="the first column of `list`")
    revoke.set_defaults(run=_revoke)


def _create(arguments: argparse.Namespace) -> int:
    projects = None if arguments.all_projects else arguments.projects
    if arguments.all_projects == bool(arguments.projects):
        raise UsageError("name the projects of the token, or say --all-projects")
    return create_token(place_at(arguments), projects, arguments.note)


def create_token(place: Place, projects: Sequence[str] | None, note: str = "") -> int:
    """Make a token for ``projects`` (None for every project), and print it."""
    from securepip.formats.layout import parse_project
    from securepip.formats.words import parse_reason

    names = None if projects is None else [parse_project(name) for name in projects]
    with place.open("repo token create") as repository:
        token, text = repository.state.tokens.create(names, parse_reason(note) if note else "")
    console.say(f"Token {token.id}, for {_scope(token)}. It is shown this once:")
    console.say_machine(text)
    return 0


def _list(arguments: argparse.Namespace) -> int:
    return list_tokens(place_at(arguments))


def list_tokens(place: Place) -> int:
    """Print all tokens that were ever made, without their secrets."""
    with place.open("repo token list") as repository:
        tokens = repository.state.tokens.all()
    if not tokens:
        console.say("No tokens: nobody can upload.")
    for token in tokens:
        used = f"last used {_day(token.used)}" if token.used else "never used"
        words = [token.id, f"created {_day(token.created)}", used, _scope(token)]
        if token.revoked:
            words.append(f"revoked {_day(token.revoked)}")
        console.say("  ".join([*words, *([token.note] if token.note else [])]))
    return 0


def _revoke(arguments: argparse.Namespace) -> int:
    return revoke_tokens(place_at(arguments), arguments.tokens)


def revoke_tokens(place: Place, names: Sequence[str]) -> int:
    """Revoke tokens; what was published with them stays."""
    with place.open("repo token revoke") as repository:
        for name in names:
            if repository.state.tokens.revoke(name):
                console.say(f"Revoked {name}")
            else:
                console.say(f"{name} was revoked before")
    return 0


def _scope(token: Token) -> str:
    return _EVERY_PROJECT if token.projects is None else " ".join(sorted(token.projects))


def _day(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d}"
