"""Makes the environment in which tools use the gateway and nothing else.

Rule: a command that runs inside a gateway has the gateway as its proxy, for all addresses. This
machine is no exception, because another user could serve files on it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, MutableMapping
from contextlib import suppress
from dataclasses import dataclass

OUTSIDE = "SECUREPIP_OUTSIDE_PROXIES"
"""The variable with the user's own proxies, as JSON, for a securepip that runs inside."""

TIMEOUT_SECONDS = 3600
"""How long tools are to wait: the gateway sends a file only after it has received and verified all
of it. If a server is too slow, the gateway itself gives up earlier."""

# The settings that name other places than the gateway, whose files would not be verified.
_ASTRAY = ("UV_INDEX", "UV_INDEX_URL", "UV_EXTRA_INDEX_URL", "UV_FIND_LINKS")
_ASTRAY_OF_PIP = ("extra-index-url", "no-index")
# All settings that decide where pip sends requests. Another proxy would get requests even for
# loopback addresses: it would learn the token, and could answer in the gateway's place.
_WHERE = (*_ASTRAY_OF_PIP, "index-url", "pypi-url", "find-links", "proxy")


@dataclass(frozen=True)
class Surroundings:
    """The environment of a tool that is to use the gateway.

    Attributes:
        variables: The variables to set.
        unset: The variables to remove.
        left_out: The settings that are not passed on, for people, without credentials.
    """

    variables: Mapping[str, str]
    unset: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()

    def applied(self, environ: Mapping[str, str]) -> dict[str, str]:
        """``environ`` with these changes."""
        kept = {name: value for name, value in environ.items() if name not in self.unset}
        return {**kept, **self.variables}


def surroundings(
    url: str,
    environ: Mapping[str, str],
    pip_files: Mapping[str, str],
    *,
    proxy: str | None = None,
) -> Surroundings:
    """The environment in which tools use the gateway.

    Args:
        url: The gateway's address.
        environ: The present environment.
        pip_files: The settings in pip's configuration files, by option name.
        proxy: The gateway's address as a proxy, with user name and token. None if it is no proxy:
            then the user's proxies stay, and requests to the gateway do not go through them.
    """
    index, seconds = f"{url}simple/", str(TIMEOUT_SECONDS)
    variables = {
        "PIP_INDEX_URL": index,
        "PIP_TIMEOUT": seconds,
        "PIP_DEFAULT_TIMEOUT": seconds,
        "UV_DEFAULT_INDEX": index,
        "UV_HTTP_TIMEOUT": seconds,
        # The gateway itself tries again, and what it refuses once it would refuse again.
        "UV_HTTP_RETRIES": "0",
        "PDM_PYPI_URL": index,
        "PDM_REQUEST_TIMEOUT": seconds,
        "POETRY_REQUESTS_TIMEOUT": seconds,
        **(_no_proxy(environ) if proxy is None else _proxies(environ, proxy)),
    }
    # pip reads names of variables in upper and lower case, with dashes and underscores.
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
    # pip must not read its configuration files. Which ones it would read depends on its environment
    # and command, and it would take a newer release from an index that is named there. The settings
    # of the files that are known here are passed on as variables.
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
    """Restore the user's own proxies for a securepip inside a gateway, which verifies by itself.

    Args:
        environ: This process's environment, which is changed.
    """
    outside = environ.pop(OUTSIDE, None)
    if outside is None:
        return
    for name in _proxies_of(environ):
        del environ[name]
    with suppress(ValueError, AttributeError):
        environ.update({str(name): str(value) for name, value in json.loads(outside).items()})


def _proxies_of(environ: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in environ.items() if name.lower().endswith("_proxy")}


def _proxies(environ: Mapping[str, str], proxy: str) -> dict[str, str]:
    """The variables that make the gateway the proxy for everything, in all their spellings."""
    names = [f"{scheme}_proxy" for scheme in ("http", "https", "ftp", "all")]
    variables = {each: proxy for name in names for each in (name, name.upper())}
    return {**variables, OUTSIDE: json.dumps(_proxies_of(environ))}


def _no_proxy(environ: Mapping[str, str]) -> dict[str, str]:
    """The variables that exempt loopback from proxies, which cannot reach it."""
    exempt = environ.get("no_proxy") or environ.get("NO_PROXY") or ""
    value = ",".join(dict.fromkeys([*filter(None, exempt.split(",")), "127.0.0.1", "localhost"]))
    return {"NO_PROXY": value, "no_proxy": value}


def _local_links(links: str) -> tuple[list[str], list[str]]:
    """The places in ``find-links`` on this machine, which the user answers for, and the others."""
    places = links.split()
    others = [one for one in places if "://" in one and not one.lower().startswith("file:")]
    return [one for one in places if one not in others], others
