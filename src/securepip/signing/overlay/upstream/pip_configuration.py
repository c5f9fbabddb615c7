"""Reads where pip on this machine looks for distributions, and how it connects.

Rule: no index is hard-coded here. If pip's configuration names none, pip is asked for its default.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from securepip.dirs import user_path
from securepip.errors import SecurepipError
from securepip.formats import pip_configuration
from securepip.transport import TransportOptions

ANSWER_SECONDS = 600.0
"""How long a page may take to arrive, or a distribution that is fetched for its requirements."""


@dataclass(frozen=True)
class PipConfiguration:
    """The configuration of pip on this machine.

    Attributes:
        indexes: URLs (or folders) of the indexes, in pip's order, perhaps with credentials.
        find_links: URLs, folders or files of ``find-links``.
        constraints: Paths or URLs of constraint files.
        transport: Certificates, proxy, timeout, retries and trusted hosts.
    """

    indexes: tuple[str, ...]
    find_links: tuple[str, ...]
    constraints: tuple[str, ...]
    transport: TransportOptions


def read_pip_configuration(indexes: Sequence[str] = ()) -> PipConfiguration:
    """The configuration that ``pip install`` would use.

    Args:
        indexes: Replace the indexes of the configuration, if there are any.

    Raises:
        SecurepipError: pip's configuration cannot be read or is not valid; or its default index is
            needed, and there is no pip to ask.
    """
    settings = dict(pip_configuration.read_pip_configuration("download", "install"))
    default = TransportOptions()
    asked = tuple(indexes or _indexes(settings))
    find_links = tuple(settings.get("find-links", "").split())
    return PipConfiguration(
        indexes=asked,
        find_links=find_links,
        constraints=tuple(settings.get("constraint", "").split()),
        transport=TransportOptions(
            timeout=_number(settings, ("timeout", "default-timeout"), default.timeout),
            retries=int(_number(settings, ("retries",), default.retries)),
            cert=_path(settings.get("cert")),
            client_cert=_path(settings.get("client-cert")),
            proxy=settings.get("proxy"),
            trusted_hosts=tuple(settings.get("trusted-host", "").split()),
            # What an index answers is signed here: nobody between it and us may change it.
            stay_encrypted=True,
            answer_seconds=ANSWER_SECONDS,
            named=(*asked, *find_links),
        ),
    )


def _indexes(settings: Mapping[str, str]) -> Iterator[str]:
    try:
        if pip_configuration.to_flag(settings.get("no-index", "no")):
            return
    except ValueError as error:
        raise SecurepipError(f"pip's setting no-index: {error}") from None
    yield settings.get("index-url") or settings.get("pypi-url") or pip_configuration.default_index()
    yield from settings.get("extra-index-url", "").split()


def _number(settings: Mapping[str, str], keys: tuple[str, ...], default: float) -> float:
    for key in keys:
        if key in settings:
            try:
                return float(settings[key])
            except ValueError:
                raise SecurepipError(
                    f"pip's setting {key} is not a number: {settings[key]!r:.80}"
                ) from None
    return default


def _path(value: str | None) -> str | None:
    return str(user_path(value)) if value else None
