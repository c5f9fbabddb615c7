"""What tools must be told so that they use the gateway and nothing else.

Rule: a command that runs inside a gateway has it as its proxy, for all addresses. There is no
exception for this machine: another user of it could serve files there.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, MutableMapping
from contextlib import suppress
from dataclasses import dataclass

OUTSIDE = "SECUREPIP_OUTSIDE_PROXIES"
"""The variable that tells a securepip inside which proxies the user has outside, as JSON."""

TIMEOUT_SECONDS = 3600
"""How long tools are to wait: the gateway sends nothing of a file before it has, and has verified,
all of it; it gives up by itself when a server is too slow."""

# What leads to other places than the gateway, whose files nobody would verify.
_ASTRAY = ("UV_INDEX", "UV_INDEX_URL", "UV_EXTRA_INDEX_URL", "UV_FIND_LINKS")
_ASTRAY_OF_PIP = ("extra-index-url", "no-index")
# All settings that decide whom pip asks. Another proxy would be told even loopback addresses by
# requests: it would learn the token, and could answer in the gateway's place.
_WHERE = (*_ASTRAY_OF_PIP, "index-url", "pypi-url", "find-links", "proxy")


@dataclass(frozen=True)
class Surroundings:
    """The environment of a tool that is to use the gateway.

    Attributes:
        variables: What is set.
        unset: What must not be set.
        left_out: pip's settings that are not passed on, for people; without credentials.
    """

    variables: Mapping[str, str]
    unset: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()

    def applied(self, environ: Mapping[str, str]) -> dict[str, str]:
        """``environ``, changed."""
        kept = {name: value for name, value in environ.items() if name not in self.unset}
        return {**kept, **self.variables}


def surroundings(
    url: str,
    environ: Mapping[str, str],
    pip_files: Mapping[str, str],
    *,
    proxy: str | None = None,
) -> Surroundings:
    """What tools must be told.

    Args:
        url: The gateway's address.
        environ: The environment as it is.
        pip_files: What pip's configuration files say, by option name.
        proxy: The gateway's address as a proxy, with user name and token. None where it is not
            one: then proxies stay as they are, and cannot reach the gateway.
    """
    index, seconds = f"{url}simple/", str(TIMEOUT_SECONDS)
    variables = {
        "PIP_INDEX_URL": index,
        "PIP_TIMEOUT": seconds,
        "PIP_DEFAULT_TIMEOUT": seconds,
        "UV_DEFAULT_INDEX": index,
        "UV_HTTP_TIMEOUT": seconds,
        # The gateway tries again itself; what it refuses, it refuses again.
        "UV_HTTP_RETRIES": "0",
        "PDM_PYPI_URL": index,
        "PDM_REQUEST_TIMEOUT": seconds,
        "POETRY_REQUESTS_TIMEOUT": seconds,
        **(_no_proxy(environ) if proxy is None else _proxies(environ, proxy)),
    }
    # pip takes its variables in any case, and with either dash.
    of_pip = {
        name: name[len("PIP_") :].lower().replace("_", "-")
        for name in environ
        if name.startswith("PIP_")
    }
    unset = [name for name in environ if name in _ASTRAY or of_pip.get(name) in _WHERE]
    left_out = [
        f"{name} (environment)"
        for name in unset
        if name in _ASTRAY or of_pip[name] in _ASTRAY_OF_PIP
    ]
    if proxy is not None:
        unset += [name for name in _proxies_of(environ) if name not in variables]
    named_links = [environ[name] for name, option in of_pip.items() if option == "find-links"]
    links = " ".join(named_links) or pip_files.get("find-links", "")
    kept_links, dropped_links = _local_links(links)
    # pip reads none of its files: which it would read depends on the environment that it is in and
    # on its command, and it would take from an index named there what is newer than here. So it is
    # told what the files say that are known here.
    variables["PIP_CONFIG_FILE"] = os.devnull
    for option, value in pip_files.items():
        if option not in _WHERE and option not in of_pip.values():
            variables.setdefault(f"PIP_{option.upper().replace('-', '_')}", value)
    if "retries" not in of_pip.values():
        variables.setdefault("PIP_RETRIES", "0")
    astray = [option for option in _ASTRAY_OF_PIP if option in pip_files]
    left_out += [f"{option} (pip's configuration)" for option in astray]
    if dropped_links:
        left_out.append("find-links to other machines")
    if links:
        variables["PIP_FIND_LINKS"] = " ".join(kept_links)
    return Surroundings(variables, tuple(unset), tuple(left_out))


def leave(environ: MutableMapping[str, str]) -> None:
    """Give a securepip that runs inside a gateway the user's own proxies: it verifies itself.

    Args:
        environ: This process's environment, which is changed.
    """
    told = environ.pop(OUTSIDE, None)
    if told is None:
        return
    for name in _proxies_of(environ):
        del environ[name]
    with suppress(ValueError, AttributeError):
        environ.update({str(name): str(value) for name, value in json.loads(told).items()})


def _proxies_of(environ: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in environ.items() if name.lower().endswith("_proxy")}


def _proxies(environ: Mapping[str, str], proxy: str) -> dict[str, str]:
    """The gateway as the proxy of everything, under all names that programs look for."""
    names = [f"{scheme}_proxy" for scheme in ("http", "https", "ftp", "all")]
    told = {each: proxy for name in names for each in (name, name.upper())}
    return {**told, OUTSIDE: json.dumps(_proxies_of(environ))}


def _no_proxy(environ: Mapping[str, str]) -> dict[str, str]:
    """A proxy cannot reach the loopback address of this machine."""
    said = environ.get("no_proxy") or environ.get("NO_PROXY") or ""
    value = ",".join(dict.fromkeys([*filter(None, said.split(",")), "127.0.0.1", "localhost"]))
    return {"NO_PROXY": value, "no_proxy": value}


def _local_links(links: str) -> tuple[list[str], list[str]]:
    """Places on this machine, which are the user's own business, and others."""
    places = links.split()
    others = [one for one in places if "://" in one and not one.lower().startswith("file:")]
    return [one for one in places if one not in others], others
