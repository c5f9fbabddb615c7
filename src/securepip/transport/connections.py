"""The ``requests`` session: pip's certificates, proxies and retries, and watched connections.

Rule: each connection, and each stream that an answer is read from, is made here, so that none is
without its watch.
"""

from __future__ import annotations

import http.client
import math
import re
import socket
import ssl
import warnings
from collections.abc import Mapping
from typing import Any
from urllib.parse import urljoin, urlsplit

import requests
import truststore
import urllib3
from requests.adapters import HTTPAdapter
from requests.utils import prepend_scheme_if_needed, select_proxy
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import (
    ConnectTimeoutError,
    InsecureRequestWarning,
    NameResolutionError,
    NewConnectionError,
    ProtocolError,
)
from urllib3.response import BaseHTTPResponse
from urllib3.util import Retry, parse_url

from securepip import __version__
from securepip.errors import TransportError
from securepip.redaction import redact
from securepip.transport.credentials import Credentials
from securepip.transport.decoding import ACCEPTED
from securepip.transport.options import TransportOptions
from securepip.transport.pool import PARALLEL
from securepip.transport.urls import without_credentials
from securepip.transport.watch import CountedSocket, watching

RETRY_AFTER_SECONDS = 30.0

_CERTIFICATES = (
    "Look at --cert, --client-cert, PIP_CERT, REQUESTS_CA_BUNDLE, CURL_CA_BUNDLE and pip.conf."
)
_SCHEME = len("https://")
# Nothing in it that would be written in another way: lower case, no user, no dots to resolve.
_PLAIN_URL = re.compile(
    r"https?://[a-z0-9][a-z0-9.-]*[a-z0-9](:[1-9]\d{0,4})?(/(?!\.\.?(/|$))[\w.~-]+)+/?", re.ASCII
)


def new_session(options: TransportOptions) -> Session:
    """A session that connects as ``options`` say. What it fetches has to be watched."""
    session = Session(options.stay_encrypted)
    session.headers["User-Agent"] = f"securepip/{__version__}"
    session.headers["Accept-Encoding"] = ACCEPTED
    retry = _Retry(
        total=options.retries,
        backoff_factor=0.25,
        status_forcelist=(429, 500, 502, 503, 504, 520, 524),
        allowed_methods=("GET", "HEAD"),
        raise_on_status=False,
    )
    adapter = _Adapter(_system_trust(options), retry)
    session.mount("https://", adapter)
    session.mount("http://", adapter)
    session.auth = Credentials(options.named, options.keyring, options.trusted_hosts)
    session.verify = options.cert or True
    session.cert = options.client_cert
    if options.proxy:
        session.proxies = {"http": options.proxy, "https": options.proxy}
    session.trust_env = options.proxy_env and not options.proxy
    for host in options.trusted_hosts:
        # As pip: whoever names a host knows it, and need not hear it for each file.
        warnings.filterwarnings("ignore", category=InsecureRequestWarning)
        insecure = _InsecureAdapter(None, retry)
        session.mount(f"https://{host}/", insecure)
        session.mount(f"https://{host}:", insecure)
    return session


def _system_trust(options: TransportOptions) -> ssl.SSLContext | None:
    """The operating system's certificate authorities, as pip uses them; None where one is given."""
    if options.cert:
        return None
    return truststore.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


class Session(requests.Session):
    """Takes no password where a redirect leads, and perhaps follows none out of https."""

    def __init__(self, stay_encrypted: bool) -> None:
        super().__init__()
        self._stay_encrypted = stay_encrypted
        self._environment: dict[str, dict[str, Any]] = {}

    def open(self, url: str, headers: Mapping[str, str], timeout: float) -> requests.Response:
        """The answer to a GET, redirects followed, before its body is read.

        As ``request`` does it, without the search for settings that no caller here has: it would
        take a quarter of the time of a small answer from near by.
        """
        asked = requests.PreparedRequest()
        if _PLAIN_URL.fullmatch(url):
            # As nearly always: the library would take it apart, and put the same together again.
            asked.method, asked.url, asked.hooks = "GET", url, {"response": []}
            asked.prepare_headers({**self.headers, **headers})
            asked._cookies = self.cookies  # type: ignore[attr-defined] # what redirects look at
            if any(True for _ in self.cookies):
                asked.prepare_cookies(self.cookies)
            asked.prepare_auth(self.auth)
        else:
            asked.prepare(
                method="GET",
                url=url,
                headers={**self.headers, **headers},
                cookies=self.cookies,
                auth=self.auth,
                hooks={"response": []},
            )
        settings = self.merge_environment_settings(asked.url, {}, True, None, None)
        return self.send(asked, timeout=timeout, allow_redirects=True, **settings)

    def merge_environment_settings(self, url: Any, *settings: Any) -> Any:
        """What the environment says of proxies and certificates, looked up once for each origin.

        The library reads all variables for each request: a third of what one costs.
        """
        parts = urlsplit(url)
        origin = f"{parts.scheme}://{parts.netloc}"
        if origin not in self._environment:
            self._environment[origin] = dict(super().merge_environment_settings(url, *settings))
            if isinstance(self.verify, str):
                # In the library REQUESTS_CA_BUNDLE wins over what the user has named (`--cert`).
                self._environment[origin]["verify"] = self.verify
        found = self._environment[origin]
        return {**found, "proxies": dict(found["proxies"])}

    def get_redirect_target(self, resp: requests.Response) -> str | None:
        """Where to go on.

        Raises:
            TransportError: It is not encrypted, and has to be. Not even where it comes back to
                https later: whoever is on the way in between decides to where.
        """
        target = super().get_redirect_target(resp)
        if target is None or not self._stay_encrypted:
            return target
        before, after = urlsplit(resp.url), urlsplit(urljoin(resp.url, target))
        if before.scheme == "https" and after.scheme != "https":
            resp.close()
            raise TransportError(
                f"{redact(resp.url)} sends its reader to {redact(after.geturl())}, which is not "
                "encrypted",
                url=redact(resp.url),
                meaning="Anybody on the way could have written what comes from there.",
            )
        return target

    def rebuild_auth(
        self, prepared_request: requests.PreparedRequest, response: requests.Response
    ) -> None:
        """Leave the password behind, unless the same server is asked again.

        The library's own looks into .netrc for whatever host a redirect names: a mirror could have
        the password of another host sent to it, in the clear. And a user name in a redirect would
        be that of whoever wrote it.
        """
        asked, target = response.request.url or "", prepared_request.url or ""
        prepared_request.url = without_credentials(target)
        if self.should_strip_auth(asked, target):  # type: ignore[no-untyped-call] # requests
            prepared_request.headers.pop("Authorization", None)


class _Retry(Retry):
    """Retries for which nobody waits longer than for the answer."""

    def get_retry_after(self, response: BaseHTTPResponse) -> float | None:
        try:
            seconds = super().get_retry_after(response)
        except (urllib3.exceptions.HTTPError, ValueError, OverflowError):
            return None
        return seconds and min(seconds, RETRY_AFTER_SECONDS)

    def sleep(self, response: BaseHTTPResponse | None = None) -> None:
        put_off = self.get_retry_after(response) if response is not None else None
        watching().pause(put_off or self.get_backoff_time())

    def increment(
        self,
        method: str | None = None,
        url: str | None = None,
        response: BaseHTTPResponse | None = None,
        error: Exception | None = None,
        *others: Any,
        **options: Any,
    ) -> _Retry:
        watch = watching()
        watch.check()
        after = super().increment(method, url, response, error, *others, **options)
        seconds = (response and after.get_retry_after(response)) or after.get_backoff_time()
        again = f"trying again in {seconds:g} s" if seconds else "trying again"
        if response is not None:
            watch.tell(f"{watch.who} answers {response.status}, {again}")
        # Once alone it is a connection of before that the server has closed meanwhile.
        elif not isinstance(error, ProtocolError) or len(after.history) > 1:
            watch.tell(f"cannot reach {watch.who}, {again}")
        return after


class _Adapter(HTTPAdapter):
    """pip's certificates and retries, and connections that are watched."""

    def __init__(self, context: ssl.SSLContext | None, retry: Retry) -> None:
        self._context = context
        self._pools: dict[tuple[Any, ...], Any] = {}
        super().__init__(
            pool_connections=PARALLEL, pool_maxsize=PARALLEL, max_retries=retry, pool_block=False
        )

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, ssl_context=self._context, **kwargs)
        self.poolmanager.pool_classes_by_scheme = _POOLS

    def proxy_manager_for(self, *args: Any, **kwargs: Any) -> Any:
        manager = super().proxy_manager_for(*args, ssl_context=self._context, **kwargs)
        manager.pool_classes_by_scheme = _POOLS
        return manager

    def get_connection_with_tls_context(
        self, request: requests.PreparedRequest, verify: Any, proxies: Any = None, cert: Any = None
    ) -> Any:
        """As the library's, which works out for each request anew which pool it is.

        Raises:
            TransportError: The address of the proxy is none.
        """
        # Whoever chose an address in a redirect may have left out the slash after the host. If the
        # host were cut short then, another server would be asked, and be sent the password.
        url = request.url or ""
        key = url[:_SCHEME], url[_SCHEME:].partition("/")[0], verify, cert
        pool = None if proxies else self._pools.get(key)
        if pool is None:
            self._check_proxy(select_proxy(url, proxies))
            found = super().get_connection_with_tls_context(request, verify, proxies, cert)
            if proxies:
                return found
            if len(self._pools) >= PARALLEL:  # the library closes what nobody holds any more
                self._pools.clear()
            pool = self._pools[key] = found
        return pool

    def _check_proxy(self, proxy: str | None) -> None:
        """Say that an address is none: the library would quote what it takes for a host in it."""
        if not proxy:
            return
        try:
            # The library that has this function tells no types.
            address: str = prepend_scheme_if_needed(proxy, "http")  # type: ignore[no-untyped-call]
            host = parse_url(address).host
            self.proxy_headers(proxy)  # user name and password
        except ValueError:
            host = None
        if not host:
            raise TransportError(
                f"the address of the proxy cannot be read: {redact(proxy)}",
                url=redact(proxy),
                remedy="Look at --proxy, HTTP_PROXY and HTTPS_PROXY. In a user name and a password "
                "all but letters and digits is written as %2F for a slash, %40 for an @.",
            )

    def close(self) -> None:
        self._pools.clear()
        super().close()

    def cert_verify(self, conn: Any, url: str, verify: Any, cert: Any) -> None:
        """As the library's.

        Raises:
            TransportError: A file of certificates is not there.
        """
        try:
            super().cert_verify(conn, url, verify, cert)  # type: ignore[no-untyped-call] # requests
        except OSError as error:
            raise TransportError(str(error), url=redact(url), remedy=_CERTIFICATES) from None

    def request_url(self, request: requests.PreparedRequest, proxies: Any) -> str:
        """As the library's, without a search for the proxy where there is none."""
        if proxies:
            return super().request_url(request, proxies)
        return f"/{request.path_url.lstrip('/')}"

    def send(self, *args: Any, **kwargs: Any) -> requests.Response:
        response = super().send(*args, **kwargs)
        if response.is_redirect:
            # Or the session would read all of it, and keep it.
            response.raw.drain_conn()
        return response


class _InsecureAdapter(_Adapter):
    """For the hosts that the user declared trusted: TLS without a check of the certificate."""

    def cert_verify(self, conn: Any, url: str, verify: Any, cert: Any) -> None:
        super().cert_verify(conn, url, False, cert)


class _Response(http.client.HTTPResponse):
    def __init__(self, sock: Any, *arguments: Any, **options: Any) -> None:
        super().__init__(CountedSocket(sock), *arguments, **options)  # type: ignore[arg-type] # file


class _Watched(HTTPConnection):
    """A connection that its watch can shut, and whose answers are counted."""

    response_class = _Response

    def request(self, *arguments: Any, **options: Any) -> None:
        if self.sock is not None:
            watching().guard(self.sock)
        super().request(*arguments, **options)

    def _new_conn(self) -> socket.socket:
        """A connection to one of the host's addresses.

        Each is tried alone, because all of them together have the time of one answer: whoever
        answers for the host's name could give hundreds that do not answer.
        """
        watch, host, timeout = watching(), self._dns_host, self.timeout
        try:
            found = socket.getaddrinfo(host.strip("[]"), self.port, type=socket.SOCK_STREAM)
        except socket.gaierror as error:
            raise NameResolutionError(self.host, self, error) from error
        failed: Exception = NewConnectionError(self, f"{host} has no address")
        for *_, address in dict.fromkeys(found):
            self._dns_host, _ = socket.getnameinfo(
                address, socket.NI_NUMERICHOST | socket.NI_NUMERICSERV
            )
            self.timeout = watch.at_most(math.inf if timeout is None else timeout)
            try:
                connected = super()._new_conn()
            except ConnectTimeoutError as error:  # NewConnectionError is one
                watch.check()
                failed = error
            else:
                return watch.guard(connected)
            finally:
                self._dns_host, self.timeout = host, timeout
        raise failed


class _HTTPSConnection(_Watched, HTTPSConnection):
    pass


class _HTTPPool(HTTPConnectionPool):
    ConnectionCls = _Watched


class _HTTPSPool(HTTPSConnectionPool):
    ConnectionCls = _HTTPSConnection


_POOLS = {"http": _HTTPPool, "https": _HTTPSPool}
