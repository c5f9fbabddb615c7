"""The part of securepip that runs inside pip: what pip fetches comes from a gateway of ours.

Rule: this file is copied into the environment and runs on whatever Python and pip are there:
Python 3.9 or later, pip 23.0 or later, the standard library alone. It decides nothing about trust.
It sends each request of pip's to a gateway, which answers with verified bytes or with a reason,
and what it does not understand it refuses.

Where it takes hold of pip, and why there (pip 23.0 to 26.3):

- ``PipSession.get_adapter``: all that pip fetches goes through its session, whose adapters do the
  sending. URLs, messages and progress bars above it stay as they are.
- ``InstallRequirement``: a direct URL, and the hashes that the user gave for it.
- ``VersionControl.obtain``: no signature covers what git and the like would fetch.
- ``WheelCache``: wheels that were built while nothing was verified must not come back.
- ``get_file_content``: a requirements file at an address is read; what it may say is limited.
- ``Configuration``: what the environment's own file says of indexes decides nothing.
- ``VenvBuildEnvironment``: a new environment whose own pip fetches what a build requires.

Below that an audit hook refuses pip any connection but that to the gateway, and any pip of another
interpreter that does not start the plugin. It cannot be taken away again, and it does not depend on
how pip is made inside.
"""

from __future__ import annotations

import base64
import importlib
import json
import logging
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from pathlib import Path
from types import FrameType, ModuleType
from typing import Any, NoReturn
from urllib.parse import quote, unquote, urlencode, urlsplit, urlunsplit

SWITCH = "SECUREPIP_UNSAFELY_DISABLE_PACKAGE_VERIFICATION"
GATEWAY = "SECUREPIP_PLUGIN_GATEWAY"
_TRUE = {"1", "y", "yes", "t", "true", "on"}
_STRONG = {"sha256", "sha384", "sha512"}
# What says where distributions come from.
_PLACES = {"index-url", "pypi-url", "extra-index-url", "no-index", "find-links"}
_VCS = {"git", "hg", "svn", "bzr"}
# What fetches; `pip freeze` runs others.
_VCS_FETCHES = {"clone", "fetch", "pull", "submodule", "checkout", "export", "branch", "update"}
_KNOWN = "Versions 23.0 to 26.3 of pip are known to work."
_ANSWERS = {200, 206, 304}
_KEPT = "X-Securepip-Kept"
_MAX_REASON = 64 << 10  # bytes
_START_SECONDS = 60.0


REFUSED = "stands for no repository that this machine trusts"
"""What is said of an index that nobody signs for; by the gateway, in its words."""


def attach(config: dict[str, Any], refuse: Callable[[str], NoReturn]) -> str:
    """Take hold of the pip that is about to be imported.

    Args:
        config: ``command`` starts a gateway, ``needs`` lists paths that it cannot do without,
            ``files`` those that the plugin consists of.
        refuse: Stops pip with a reason, where pip itself is not yet there to print one.

    Returns:
        What is wrong; "" when nothing is.
    """
    if os.environ.get(SWITCH, "").strip().lower() in _TRUE:
        print(
            "WARNING: package verification is switched off: nothing that pip installs now was "
            f"checked.\n  Remove {SWITCH} from the environment to install verified packages.",
            file=sys.stderr,
        )
        return ""
    gone = [path for path in config["needs"] if not Path(path).exists()]
    if gone:
        return f"securepip, which verifies, is no longer where it was: {gone[0]} is gone."
    # pip may be imported more than once in a process.
    if not any(type(finder).__name__ == _Seams.__name__ for finder in sys.meta_path):
        gateway = _Gateway(config["command"])
        sys.meta_path.insert(0, _Seams(gateway, config["files"], refuse))
        sys.addaudithook(_guard(gateway))
    return ""


class _Seams:
    """A finder that changes the modules of pip that fetch, as soon as they have been loaded.

    Which is late: ``pip list`` loads none of them.
    """

    def __init__(
        self, gateway: _Gateway, files: Sequence[str], refuse: Callable[[str], NoReturn]
    ) -> None:
        self._gateway = gateway
        self._files = files
        self._refuse = refuse
        self._finding = threading.local()
        self._patches = {
            "pip._internal.network.session": self._session,
            "pip._internal.req.req_install": self._requirement,
            "pip._internal.req.req_file": self._requirements_file,
            "pip._internal.vcs.versioncontrol": self._version_control,
            "pip._internal.cache": self._cache,
            "pip._internal.configuration": self._configuration,
        }
        # Since pip 26.
        self._new_patches = {"pip._internal.build_env.venv": self._venv}

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Let others find it; have it changed when it has been loaded."""
        patch = self._patches.get(name) or self._new_patches.get(name)
        if patch is None or getattr(self._finding, "name", None) == name:
            return None
        self._finding.name = name
        try:
            # Not the path finder alone: a pip in an archive is found by others.
            spec = find_spec(name)
        finally:
            self._finding.name = None
        if spec is None or spec.loader is None:
            self._misfit(name, "it is not there")
        load = spec.loader.exec_module

        def exec_module(module: ModuleType) -> None:
            load(module)
            # An archive has one loader for all its modules.
            if module.__name__ == name:
                try:
                    patch(module)
                except (AttributeError, TypeError, ImportError) as error:
                    self._misfit(name, error)

        spec.loader.exec_module = exec_module  # type: ignore[method-assign] # of this one loader
        return spec

    def _misfit(self, name: str, error: object) -> NoReturn:
        """Stop a pip whose inside is not as the plugin knows it."""
        reason = f"this version of pip is not made as the plugin knows it: {name}: {error}."
        if _is_called_by("pip._internal.cli.base_command"):  # which would show a traceback
            raise _refusal(f"pip is stopped by securepip's plugin: {reason}", _KNOWN)
        self._refuse(f"{reason} {_KNOWN}")

    def _session(self, module: Any) -> None:
        from pip._vendor.requests.adapters import HTTPAdapter

        session, gateway = module.PipSession, self._gateway
        adapter = _make_adapter(HTTPAdapter, gateway)
        original = session.get_adapter
        create = session.__init__

        def get_adapter(self: Any, url: str) -> Any:
            # Not by mounting: a trusted host would be mounted over it.
            if url.lower().startswith(("http:", "https:")):
                return adapter(self)
            return original(self, url)

        def __init__(self: Any, *args: Any, **kwargs: Any) -> None:  # noqa: N807 - in its place
            # Whoever can fetch needs all the seams, also where they were not loaded yet.
            for name in seams:
                importlib.import_module(name)
            create(self, *args, **kwargs)
            self.securepip_cache = kwargs.get("cache")

        seams = tuple(self._patches)
        session.get_adapter, session.__init__ = get_adapter, __init__
        session.securepip_adapter = original

    def _requirement(self, module: Any) -> None:
        requirement, gateway = module.InstallRequirement, self._gateway
        create = requirement.__init__

        def __init__(self: Any, *args: Any, **kwargs: Any) -> None:  # noqa: N807 - in its place
            create(self, *args, **kwargs)
            link = self.original_link
            if link is not None and link.scheme in ("http", "https"):
                given = [(link.hash_name, link.hash)]
                given += [
                    (name, each) for name, all_of in self.hash_options.items() for each in all_of
                ]
                gateway.name_direct(link.url, {f"{n}:{d}" for n, d in given if n in _STRONG})

        requirement.__init__ = __init__

    def _requirements_file(self, module: Any) -> None:
        read, gateway = module.get_file_content, self._gateway
        if not (callable(module.join_lines) and callable(module.ignore_comments)):
            raise TypeError("it reads lines in another way")

        def get_file_content(url: str, session: Any, *args: Any, **kwargs: Any) -> tuple[str, str]:
            if urlsplit(url).scheme.lower() not in ("http", "https"):
                return read(url, session, *args, **kwargs)  # type: ignore[no-any-return] # pip's
            with gateway.reading_text():
                location, content = read(url, session, *args, **kwargs)
            _check_requirements(url, content, module)
            return location, content

        module.get_file_content = get_file_content

    def _version_control(self, module: Any) -> None:
        vcs = module.VersionControl
        if not callable(vcs.obtain):
            raise TypeError("obtain is no method")

        def obtain(self: Any, dest: str, url: object, *args: Any, **kwargs: Any) -> NoReturn:
            raise _refusal(
                f"{url} is under version control, and no signature covers what is fetched there.",
                "Install a release of it, or fetch it yourself and install it from your folder.",
            )

        vcs.obtain = obtain

    def _cache(self, module: Any) -> None:
        cache = module.WheelCache
        create = cache.__init__

        def __init__(self: Any, cache_dir: str, *args: Any) -> None:  # noqa: N807 - in its place
            # A wheel in pip's own cache may have been built with tools that nobody verified.
            create(self, cache_dir and str(Path(cache_dir, "securepip")), *args)

        cache.__init__ = __init__

    def _configuration(self, module: Any) -> None:
        configuration, said = module.Configuration, self._gateway.not_obeyed
        load = configuration._load_file

        def _load_file(self: Any, variant: Any, fname: str) -> Any:
            parser = load(self, variant, fname)
            # The file of the environment itself. `pip config` may go on to look at it.
            if variant == "site" and self.load_only is None:
                values = self._config[variant]
                # Since pip 25.3 by file.
                for each in (values, *(one for one in values.values() if isinstance(one, dict))):
                    for key in [key for key in each if key.rpartition(".")[2] in _PLACES]:
                        said[key.rpartition(".")[2]] = (str(each.pop(key)), fname)
            return parser

        configuration._load_file = _load_file

    def _venv(self, module: Any) -> None:
        environment, files = module.VenvBuildEnvironment, self._files
        create = environment.__init__

        def __init__(self: Any, *args: Any, **kwargs: Any) -> None:  # noqa: N807 - in its place
            # The pip that fetches what a build requires is one of that new environment.
            create(self, *args, **kwargs)
            for path in files:
                shutil.copy(path, self.lib_dirs[0])

        environment.__init__ = __init__


class _Gateway:
    """The gateway that this process asks: its parent's, or one of its own from the first use on."""

    def __init__(self, command: Sequence[str]) -> None:
        self._command = command
        self._local = threading.local()
        self._lock = threading.Lock()
        self._direct: dict[tuple[str, ...], set[str]] = {}
        self._process: subprocess.Popen[bytes] | None = None
        self._pid = 0
        self._url: str | None = None
        self.port: int | None = None
        self.not_obeyed: dict[str, tuple[str, str]] = {}
        """What the environment's own file says of indexes: values and files, by option."""
        self._told: set[str] = set()

    def tell(self, text: str) -> None:
        """Say something to who runs pip, once."""
        if text not in self._told:
            self._told.add(text)
            logging.getLogger("pip._internal.securepip").warning("%s", text)

    def url(self, session: Any) -> str:
        """Its address, ending in a slash; started for a session of pip's if there is none yet."""
        for option, (value, file) in self.not_obeyed.items():
            self.tell(
                f"Not obeying {option} = {' '.join(map(_shown, value.split()))}, which the "
                f"environment's own {file} says: name it on the command line (--{option}) if you "
                "want it."
            )
        with self._lock:
            if self._url is None:
                self._url = self._inherited() or self._start(session)
            return self._url

    def name_direct(self, url: str, digests: set[str]) -> None:
        """Remember the digests that were given for a direct URL; perhaps none."""
        self._direct.setdefault(_key(url), set()).update(digests)

    def digests(self, url: str) -> set[str] | None:
        """The digests that were given for an address; None when nobody named it directly."""
        return self._direct.get(_key(url))

    @contextmanager
    def reading_text(self) -> Iterator[None]:
        """What is fetched in the ``with`` is a requirements file, not a distribution."""
        self._local.text = True
        try:
            yield
        finally:
            self._local.text = False

    def is_running(self) -> bool:
        """Whether it still runs: then nobody else can have answered at its port."""
        if self._process is not None:
            return self._process.poll() is None
        if os.name != "posix":
            return True
        try:
            os.kill(self._pid, 0)
        except OSError:
            return False
        return True

    @property
    def reads_text(self) -> bool:
        """Whether that is so now."""
        return bool(getattr(self._local, "text", False))

    def _inherited(self) -> str | None:
        """The gateway of the pip that started this one, if it still answers."""
        path = os.environ.get(GATEWAY)
        if not path:
            return None
        try:
            with Path(path).open("rb") as stream:
                status = os.fstat(stream.fileno())
                said = json.loads(stream.read(4096))
            url, self._pid = str(said["url"]), int(said["pid"])
            mine = os.name != "posix" or (
                status.st_uid == os.geteuid() and not status.st_mode & 0o077
            )
            parts = urlsplit(url)
            # A file that others could have written would name a gateway of theirs.
            if not mine or parts.hostname != "127.0.0.1":
                return None
            self.port = parts.port
            socket.create_connection(("127.0.0.1", self.port), 5).close()
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return url

    def _start(self, session: Any) -> str:
        """Start one, which ends with this process: when the pipe to it is closed."""
        errors = tempfile.TemporaryFile()  # noqa: SIM115 - the gateway writes to it till the end
        try:
            self._process = subprocess.Popen(
                self._command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                # A Ctrl-C is for pip, which may still want to put something back.
                start_new_session=True,
            )
            said = json.loads(_first_answer(self._process, json.dumps(_settings(session))))
            url, path = str(said["url"]), str(said["file"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            errors.seek(0)
            reason = errors.read(_MAX_REASON).decode("utf-8", "replace").strip() or str(error)
            raise _refusal(f"securepip's gateway did not start: {reason}", "") from None
        self.port = urlsplit(url).port
        # For the pip processes that fetch what a build requires.
        os.environ[GATEWAY] = path
        return url


def _make_adapter(base: Any, gateway: _Gateway) -> Any:
    """A class of adapters, on ``HTTPAdapter`` of the ``requests`` that pip has."""

    class GatewayAdapter(base):  # type: ignore[misc] # it is known where pip is
        """Sends what pip asks of any server to the gateway."""

        def __init__(self, session: Any) -> None:
            super().__init__(max_retries=0)
            self._session = session

        def send(self, request: Any, stream: bool = False, **options: Any) -> Any:
            """As pip's own; who is asked, and how, is for the gateway to know."""
            if request.method not in ("GET", "HEAD"):
                raise _refusal(
                    f"pip wants to send something ({request.method}) to {_shown(request.url)}, "
                    "whose answer could not be verified.",
                    "Look for packages on the web pages of your index.",
                )
            inner = request.copy()
            inner.url = (
                gateway.url(self._session)
                + "by-url?"
                + urlencode(_query(request, self._session, gateway))
            )
            for header in ("Authorization", "Cookie", "Proxy-Authorization"):
                inner.headers.pop(header, None)
            # The gateway has other words for a pip that has no plugin.
            inner.headers["User-Agent"] = "securepip-plugin"
            try:
                # A large file is sent when all of it has been verified. How long a server may be
                # silent is for the gateway to judge: it was told pip's limit.
                response = super().send(inner, stream=stream, timeout=(10, None), proxies={})
            except OSError as error:
                raise _refusal(
                    f"securepip's gateway does not answer: {error}", "Run pip again."
                ) from None
            if not gateway.is_running():
                # Another user's program may have taken the port, and would be believed.
                response.close()
                raise _refusal("securepip's gateway has ended.", "Run pip again.")
            is_page = "vnd.pypi.simple" in request.headers.get("Accept", "")
            if response.status_code not in _ANSWERS and not (
                response.status_code == 404 and is_page
            ):
                # pip takes a failed page for an empty one and goes on with another index.
                raise _refusal(_reason(response), "")
            if response.status_code == 404 and not _is_called_by("pip._internal.self_outdated"):
                # pip says that there is no matching distribution, and not why.
                gateway.tell(_reason(response, keep=True))
            response.url, response.request = request.url, request
            # pip says "Using cached", where it would keep a cache itself.
            own = self._session.securepip_adapter(request.url)
            response.from_cache = _KEPT in response.headers and hasattr(own, "cache")
            return response

    return GatewayAdapter


def _reason(response: Any, *, keep: bool = False) -> str:
    """Why the gateway refuses, in its words (problem details, RFC 9457).

    With ``keep``, pip can still read the response.
    """
    if keep:
        body = response.content
    else:
        body = response.raw.read(_MAX_REASON, decode_content=False)
        response.close()
    try:
        return str(json.loads(body)["detail"])
    except (ValueError, KeyError, TypeError):
        return f"securepip's gateway answers {response.status_code} {response.reason}"


def _query(request: Any, session: Any, gateway: _Gateway) -> list[tuple[str, str]]:
    """What the gateway is asked: the address, and what is known of what is there."""
    url = _with_credentials(request)
    if gateway.reads_text:
        return [("url", url), ("text", "1")]
    digests = gateway.digests(request.url)
    if digests is not None and not digests:
        raise _refusal(
            f"{_shown(request.url)} was named directly, without a hash: nothing says what must be "
            "there.",
            "Add its hash: #sha256=… at the end of the address, or --hash=sha256:… in a "
            "requirements file. Or name the project instead of the address.",
        )
    return [
        ("url", url),
        *(("hash", each) for each in sorted(digests or ())),
        # They say who may answer: a project is not taken from a repository that was not asked.
        *(("index", each) for each in session.auth.index_urls or ()),
    ]


def _with_credentials(request: Any) -> str:
    """The address with user name and password, where pip found them."""
    kind, _, encoded = request.headers.get("Authorization", "").partition(" ")
    parts = urlsplit(request.url)
    if kind == "Basic":
        user, colon, word = base64.b64decode(encoded).decode("latin-1").partition(":")
        # pip has decoded them: a slash or an @ in a password would end it.
        login = f"{quote(user, safe='')}{colon}{quote(word, safe='')}"
        parts = parts._replace(netloc=f"{login}@{parts.netloc.rpartition('@')[2]}")
    return str(urlunsplit(parts))


def _key(url: str) -> tuple[str, ...]:
    """An address in the one form by which two are compared."""
    parts = urlsplit(url)
    return (parts.scheme.lower(), parts.netloc.rpartition("@")[2].lower(), unquote(parts.path),
            unquote(parts.query))  # fmt: skip


def _shown(url: str) -> str:
    """An address without user name, password and what may be a token.

    Where a password holds a slash that is not encoded, no parser finds its end: all before the last
    ``@`` counts as secret.
    """
    scheme, separator, rest = url.partition("://")
    rest = rest if separator else scheme
    return f"{scheme if separator else ''}{separator}{re.split('[?#]', rest.rpartition('@')[2])[0]}"


def _settings(session: Any) -> dict[str, Any]:
    """What the gateway must know of pip's options of the network, wherever pip read them."""
    from pip._internal.models.index import PyPI

    auth = session.auth
    # pip 23.0 has no such option. Without a terminal nobody can be asked, as in pip.
    keyring = getattr(auth, "_keyring_provider", "auto")
    settings = {
        # What stands for no index at all: the one that pip asks unless it is told another.
        "default_index": PyPI.simple_url,
        "indexes": auth.index_urls or [],
        "cert": session.verify if isinstance(session.verify, str) else None,
        "client_cert": session.cert,
        "proxy": session.proxies.get("https"),
        "proxy_env": session.trust_env,
        "trusted_hosts": [
            f"{host}:{port}" if port else host for host, port in session.pip_trusted_origins
        ],
        "keyring": "disabled" if keyring == "auto" and not auth.prompting else keyring,
        "cache": bool(session.securepip_cache),
    }
    settings["own_places"] = bool(getattr(_options(), "find_links", None))
    limits = _options() or session
    for name in ("timeout", "retries"):
        value = getattr(limits, name, None)
        if value is not None:
            settings[name] = value
    return settings


def _options() -> Any:
    """The options of the command that pip runs; None when no command runs.

    Not the session's: that of pip's look for a newer pip, which comes first, is in a hurry.
    """
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        options = frame.f_locals.get("options")
        if hasattr(options, "timeout") and hasattr(options, "retries"):
            return options
        frame = frame.f_back
    return None


def _first_answer(process: subprocess.Popen[bytes], question: str) -> bytes:
    """The line that a gateway says when it is ready; b"" when it ends or takes too long."""
    if process.stdin is None or process.stdout is None:
        raise TypeError("the gateway has no pipes")
    timer = threading.Timer(_START_SECONDS, process.kill)
    timer.daemon = True
    timer.start()
    try:
        # The pipe stays open: when it is closed, with this process, the gateway ends.
        process.stdin.write(question.encode() + b"\n")
        process.stdin.flush()
        return process.stdout.readline(4096)
    finally:
        timer.cancel()


# A project, extras, then a version, a marker, hashes or nothing: no "@", no path, since pip takes
# "app==1/../../x" for a folder; and no other option, since with `-e` a line is a requirement.
_PROJECT = re.compile(
    r"[A-Za-z0-9][\w.-]*\s*(\[[\w\s,.-]*\])?\s*([<>=!~;(]((?!\s-)[^/\\])*)?"
    r"(\s+--hash[=\s]\s*\w+:\w+)*",
    re.ASCII,
)
_ARCHIVE = re.compile(r"\.(whl|zip|tar|tgz|tbz|txz|tlz|gz|bz2|xz|lzma)\b", re.I)
# One option, with one word.
_LINES = re.compile(
    r"--pre|--prefer-binary|--require-hashes|--(no|only)-binary[=\s]\s*[^\s-]\S*"
    r"|(-i|--index-url|--extra-index-url)[=\s]\s*https?://\S+"
    r"|(-r|-c|--requirement|--constraint)[=\s]?\s*[^\s:-][^\s:]*"
)


def _check_requirements(url: str, content: str, reader: Any) -> None:
    """Let a requirements file from elsewhere name projects alone, and read no variables.

    Whoever changes it on its way could else name files that lie on this machine, or have secrets
    of the environment sent away.

    Args:
        url: Where it is.
        content: What it says.
        reader: pip's own ``req_file``: what is a line, and what a comment, is for it to know.

    Raises:
        InstallationError: It says more.
    """
    lines = reader.join_lines(enumerate(content.splitlines(), start=1))
    for _, line in reader.ignore_comments(lines):
        if line.startswith("-"):
            is_fine = bool(_LINES.fullmatch(line))
        else:
            is_archive = _ARCHIVE.search(line.partition(";")[0])
            is_fine = bool(_PROJECT.fullmatch(line)) and not is_archive
        if not is_fine or "${" in line:
            raise _refusal(
                f"the requirements file {_shown(url)} names more than projects: {line!r:.200}",
                "It is not on this machine, and nobody signs it: whoever changes it on its way "
                "could choose files and addresses. Fetch it, look at it, and name your copy.",
            )


def _guard(gateway: _Gateway) -> Callable[[str, tuple[Any, ...]], None]:
    """An audit hook: what pip does by a way that the plugin does not know does not happen.

    Only what pip itself does: a program that imports pip may connect where it likes.
    """

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "socket.connect":
            address = arguments[1]
            known = not isinstance(address, tuple) or address[:2] == ("127.0.0.1", gateway.port)
            if not known and _in_pip():
                raise _refusal(
                    f"pip was about to connect to {address[0]}:{address[1]} by a way that "
                    "securepip's plugin does not know.",
                    _KNOWN,
                )
        elif event == "subprocess.Popen":
            words = arguments[1] if isinstance(arguments[1], (list, tuple)) else []
            if _is_other_pip(words) and _in_pip() and not _has_plugin(words[0]):
                raise _refusal(
                    f"the plugin is not enabled for {words[0]}, whose pip was to go on from here: "
                    "nothing would be verified there.",
                    f"Enable it there: securepip plugin enable --python {words[0]}",
                )
            first = Path(os.fsdecode(words[0])).name if words else ""
            if first.partition(".")[0] in _VCS and _VCS_FETCHES.intersection(words) and _in_pip():
                raise _refusal(
                    f"pip was about to run {first}, and no signature covers what it would fetch.",
                    "Install a release, or fetch it yourself and install it from your folder.",
                )

    return hook


def _is_other_pip(words: Sequence[Any]) -> bool:
    """Whether a command is pip, run by another interpreter: ``--python``, or to build something."""
    # pip in an archive names, instead of its runner, its folder there.
    is_pip = len(words) > 1 and Path(os.fsdecode(words[1])).name in ("__pip-runner__.py", "pip")
    return is_pip and words[0] != sys.executable


def _has_plugin(python: str) -> bool:
    """Whether an interpreter, when it starts, starts the plugin."""
    program = "import sys; sys.exit('SecurepipPlugin' not in str(sys.meta_path))"
    try:
        return subprocess.run([python, "-c", program], check=False).returncode == 0
    except OSError:
        return False


def _in_pip() -> bool:
    return _is_called_by("pip._internal", "pip._vendor")


def _is_called_by(*modules: str) -> bool:
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        if str(frame.f_globals.get("__name__")).startswith(modules):
            return True
        frame = frame.f_back
    return False


def _refusal(what: str, remedy: str) -> Exception:
    """An error of pip's own: it prints it without a traceback, and nothing in it catches it."""
    from pip._internal.exceptions import InstallationError

    error: Exception = InstallationError("\n".join(filter(None, [what, remedy])))
    return error
