"""The ``requests`` session: pip's certificates, proxies and retries, over watched connections.

Rule: this module makes every connection, and every stream that an answer is read from, so that each
has its ``Watch``.
"""

from __future__ import annotations

import http.client
import math
import re
import socket
import ssl
import warnings
from collections.abc import Mapping
from http.cookiejar import DefaultCookiePolicy
from pathlib import Path
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
    SSLError,
    SystemTimeWarning,
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
# A URL that `requests` would leave as it is: lower case, no user, no dots to resolve.
_PLAIN_URL = re.compile(
    r"https?://[a-z0-9][a-z0-9.-]*[a-z0-9](:[1-9]\d{0,4})?(/(?!\.\.?(/|$))[\w.~-]+)+/?", re.ASCII
)


def new_session(options: TransportOptions) -> Session:
    """A session that connects as ``options`` say. It may be used only under a ``Watch``."""
    session = Session(options.stay_encrypted)
    session.headers["User-Agent"] = f"securepip/{__version__}"
    session.headers["Accept-Encoding"] = ACCEPTED
    # No cookies: a server may set them for all hosts of its domain, so many that no other server
    # there accepts the long requests. Nothing here needs them.
    session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=()))
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
    # It would name a line of urllib3. Where the clock matters, the error says what it shows.
    warnings.filterwarnings("ignore", category=SystemTimeWarning)
    for host in options.trusted_hosts:
        # As in pip: the user has named the host, and needs no warning for each file.
        warnings.filterwarnings("ignore", category=InsecureRequestWarning)
        insecure = _InsecureAdapter(None, retry)
        session.mount(f"https://{host}/", insecure)
        session.mount(f"https://{host}:", insecure)
    return session


def _system_trust(options: TransportOptions) -> ssl.SSLContext | None:
    """The system's certificate authorities, as in pip; None if ``--cert`` names others."""
    if options.cert:
        return None
    return truststore.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


class _EncryptedKeyError(Exception):
    """A private key is encrypted. It is decrypted when a server asks for it."""


def _check_certificates(verify: bool | str, cert: str | None, url: str) -> None:
    """Check that the files of certificates can be read. A connection would fail at each retry.

    Raises:
        TransportError: One of them holds no certificate, or a key that is not of the certificate.
    """

    def ask() -> str:
        raise _EncryptedKeyError

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    path, what = "", ""
    try:
        if isinstance(verify, str) and not Path(verify).is_dir():
            path, what = verify, "holds no certificates in PEM"
            context.load_verify_locations(verify)
        if cert is not None:
            path, what = cert, "does not hold a certificate and its private key in PEM"
            context.load_cert_chain(cert, password=ask)
    except _EncryptedKeyError:
        pass
    except OSError as error:
        why = getattr(error, "reason", None) or error.strerror or str(error)
        raise TransportError(
            f"{path} {what} ({why})", url=redact(url), remedy=_CERTIFICATES
        ) from None


class Session(requests.Session):
    """A ``requests`` session that sends no password where a redirect leads.

    Args:
        stay_encrypted: Whether to refuse redirects from https to anything else.
    """

    def __init__(self, stay_encrypted: bool) -> None:
        super().__init__()
        self._stay_encrypted = stay_encrypted
        self._environment: dict[str, dict[str, Any]] = {}

    def open(self, url: str, headers: Mapping[str, str], timeout: float) -> requests.Response:
        """The answer to a GET, after redirects and before its body is read.

        It does what ``request`` does, except for the search for settings that no caller here
        passes. That search takes a quarter of the time of a small answer from a near server.
        """
        asked = requests.PreparedRequest()
        if _PLAIN_URL.fullmatch(url):
            # The usual case: the library would parse the URL and build the same one again.
            asked.method, asked.url, asked.hooks = "GET", url, {"response": []}
            asked.prepare_headers({**self.headers, **headers})
            asked._cookies = self.cookies  # type: ignore[attr-defined] # redirects read it
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
        """The environment's proxies and certificates, looked up once for each origin.

        The library reads the environment for each request: a third of the request's time.
        """
        parts = urlsplit(url)
        origin = f"{parts.scheme}://{parts.netloc}"
        if origin not in self._environment:
            self._environment[origin] = dict(super().merge_environment_settings(url, *settings))
            if isinstance(self.verify, str):
                # In the library REQUESTS_CA_BUNDLE would win over `--cert`.
                self._environment[origin]["verify"] = self.verify
        found = self._environment[origin]
        return {**found, "proxies": dict(found["proxies"])}

    def get_redirect_target(self, resp: requests.Response) -> str | None:
        """The URL that a redirect leads to; None if the answer is no redirect.

        Raises:
            TransportError: The redirect leaves https, and ``stay_encrypted`` forbids that. It is
                refused even if a later redirect leads back to https, because an attacker on the
                network would choose that URL.
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
        """Drop the password, unless the redirect leads to the same server.

        The library's own method looks up in .netrc whatever host a redirect names: a malicious
        mirror could have the password of another host sent there unencrypted. Credentials in the
        redirect's URL are dropped too: the server has chosen them, not the user.
        """
        asked, target = response.request.url or "", prepared_request.url or ""
        prepared_request.url = without_credentials(target)
        if self.should_strip_auth(asked, target):  # type: ignore[no-untyped-call] # requests
            prepared_request.headers.pop("Authorization", None)


class _Retry(Retry):
    """Retries whose pauses are part of the time of the answer (``Watch``)."""

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
        if isinstance(error, SSLError) and isinstance(error.args[0], ssl.SSLCertVerificationError):
            # The server shows the same certificate the next time: this is the last attempt.
            return Retry.increment(
                self.new(total=0), method, url, response, error, *others, **options
            )
        after = super().increment(method, url, response, error, *others, **options)
        seconds = (response and after.get_retry_after(response)) or after.get_backoff_time()
        again = f"trying again in {seconds:g} s" if seconds else "trying again"
        if response is not None:
            watch.tell(f"{watch.who} answers {response.status}, {again}")
        # The first time, the server has only closed a connection that was kept open.
        elif not isinstance(error, ProtocolError) or len(after.history) > 1:
            watch.tell(f"cannot reach {watch.who}, {again}")
        return after


class _Adapter(HTTPAdapter):
    """pip's certificates and retries, over watched connections."""

    def __init__(self, context: ssl.SSLContext | None, retry: Retry) -> None:
        self._context = context
        self._pools: dict[tuple[Any, ...], Any] = {}
        self._readable: set[tuple[Any, Any]] = set()
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
        """As in the library, but remember the pool of each origin.

        Raises:
            TransportError: The proxy's URL cannot be parsed.
        """
        # The key must hold the whole host. A redirect chooses the URL, perhaps without a slash
        # after the host; with a part of the host another server would get the password.
        url = request.url or ""
        key = url[:_SCHEME], url[_SCHEME:].partition("/")[0], verify, cert
        pool = None if proxies else self._pools.get(key)
        if pool is None:
            self._check_proxy(select_proxy(url, proxies))
            found = super().get_connection_with_tls_context(request, verify, proxies, cert)
            if proxies:
                return found
            if len(self._pools) >= PARALLEL:  # the library closes pools that nothing refers to
                self._pools.clear()
            pool = self._pools[key] = found
        return pool

    def _check_proxy(self, proxy: str | None) -> None:
        """Check the proxy's URL. The library's error would quote a part of it, perhaps a password.

        Raises:
            TransportError: It cannot be parsed.
        """
        if not proxy:
            return
        try:
            address: str = prepend_scheme_if_needed(proxy, "http")  # type: ignore[no-untyped-call]
            host = parse_url(address).host
            self.proxy_headers(proxy)  # fails if the credentials cannot be parsed
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
        """As in the library, but read the files of certificates before anything is connected.

        Raises:
            TransportError: A file of certificates does not exist, or holds none.
        """
        try:
            super().cert_verify(conn, url, verify, cert)  # type: ignore[no-untyped-call] # requests
        except OSError as error:
            raise TransportError(str(error), url=redact(url), remedy=_CERTIFICATES) from None
        if url.lower().startswith("https") and (verify, cert) not in self._readable:
            _check_certificates(verify, cert, url)
            self._readable.add((verify, cert))

    def request_url(self, request: requests.PreparedRequest, proxies: Any) -> str:
        """As in the library, without its search for a proxy if there is none."""
        if proxies:
            return super().request_url(request, proxies)
        return f"/{request.path_url.lstrip('/')}"

    def send(self, *args: Any, **kwargs: Any) -> requests.Response:
        response = super().send(*args, **kwargs)
        if response.is_redirect:
            # Without this the session would read the whole body, of any length, into memory.
            response.raw.drain_conn()
        return response


class _InsecureAdapter(_Adapter):
    """For ``--trusted-host``: TLS without a check of the certificate."""

    def cert_verify(self, conn: Any, url: str, verify: Any, cert: Any) -> None:
        super().cert_verify(conn, url, False, cert)


class _Response(http.client.HTTPResponse):
    def __init__(self, sock: Any, *arguments: Any, **options: Any) -> None:
        super().__init__(CountedSocket(sock), *arguments, **options)  # type: ignore[arg-type] # file


class _Watched(HTTPConnection):
    """A connection that its watch can shut, and whose bytes are counted."""

    response_class = _Response

    def request(self, *arguments: Any, **options: Any) -> None:
        if self.sock is not None:
            watching().guard(self.sock)
        super().request(*arguments, **options)

    def _new_conn(self) -> socket.socket:
        """A connection to one of the host's addresses, tried one after the other.

        The library would give each address the whole timeout, and a malicious name server could
        give hundreds of addresses that do not answer. Here all share the time of one answer.
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
