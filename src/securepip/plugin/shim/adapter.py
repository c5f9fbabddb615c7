"""The adapter by which pip's session sends its requests to the gateway."""

from __future__ import annotations

import base64
import json
from typing import Any
from urllib.parse import quote, unquote, urlencode, urlsplit, urlunsplit

from securepip.plugin.shim.gateway import Gateway
from securepip.plugin.shim.inside import MAX_REASON, is_called_by, refusal
from securepip.redaction import harmless, redact

_ANSWERS = {200, 206, 304}
_KEPT = "X-Securepip-Kept"
_NOTICES = "X-Securepip-Notices"


def make_adapter(base: Any, gateway: Gateway) -> Any:
    """Make the adapter class, derived from ``HTTPAdapter`` of pip's own ``requests``."""

    class GatewayAdapter(base):  # type: ignore[misc] # pip's class is only known at run time
        """Sends each request to the gateway, whatever its host is."""

        def __init__(self, session: Any) -> None:
            super().__init__(max_retries=0)
            self._session = session

        def send(self, request: Any, stream: bool = False, **options: Any) -> Any:
            """Send a request to the gateway, which knows how to reach the host."""
            if request.method not in ("GET", "HEAD"):
                raise refusal(
                    f"pip wants to send something ({request.method}) to {redact(request.url)}, "
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
            # The gateway sends other errors to a pip without the plugin.
            inner.headers["User-Agent"] = "securepip-plugin"
            try:
                # The gateway sends a file only after it has verified all of it, so there is no read
                # timeout here. The gateway itself applies pip's timeout to servers.
                response = super().send(inner, stream=stream, timeout=(10, None), proxies={})
            except OSError as error:
                raise refusal(
                    f"securepip's gateway does not answer: {error}", "Run pip again."
                ) from None
            if not gateway.is_running():
                # Another user's program may listen on the port now: its answer must not be used.
                response.close()
                raise refusal("securepip's gateway has ended.", "Run pip again.")
            is_page = "vnd.pypi.simple" in request.headers.get("Accept", "")
            if response.status_code not in _ANSWERS and not (
                response.status_code == 404 and is_page
            ):
                # pip would treat a failed page as empty, and go on with another index.
                raise refusal(_reason(response), "")
            if response.status_code == 404 and not is_called_by("pip._internal.self_outdated"):
                # pip only says that there is no matching distribution.
                gateway.tell(_reason(response, keep=True))
            for notice in unquote(response.headers.get(_NOTICES, "")).splitlines():
                gateway.tell(notice)
            response.url, response.request = request.url, request
            # This makes pip print "Using cached", if it would have a cache itself.
            own = self._session.securepip_adapter(request.url)
            response.from_cache = _KEPT in response.headers and hasattr(own, "cache")
            return response

    return GatewayAdapter


def _reason(response: Any, *, keep: bool = False) -> str:
    """The reason of a refusal by the gateway (problem details, RFC 9457).

    With ``keep``, pip can still read the body of the response.
    """
    if keep:
        body = response.content
    else:
        body = response.raw.read(MAX_REASON, decode_content=False)
        response.close()
    try:
        return harmless(str(json.loads(body)["detail"]))
    except (ValueError, KeyError, TypeError):
        return f"securepip's gateway answers {response.status_code} {response.reason}"


def _query(request: Any, session: Any, gateway: Gateway) -> list[tuple[str, str]]:
    """The query for the gateway: the URL, its known hashes, and pip's indexes."""
    url = _with_credentials(request)
    if gateway.reads_text:
        return [("url", url), ("text", "1")]
    digests = gateway.digests(request.url)
    if digests is not None and not digests:
        raise refusal(
            f"{redact(request.url)} was named directly, without a hash: nothing says what must be "
            "there.",
            "Add its hash: #sha256=… at the end of the address, or --hash=sha256:… in a "
            "requirements file. Or name the project instead of the address.",
        )
    return [
        ("url", url),
        *(("hash", each) for each in sorted(digests or ())),
        # The indexes limit which repositories may answer.
        *(("index", each) for each in session.auth.index_urls or ()),
    ]


def _with_credentials(request: Any) -> str:
    """The URL of a request with the user name and password that pip has found, if any."""
    kind, _, encoded = request.headers.get("Authorization", "").partition(" ")
    parts = urlsplit(request.url)
    if kind == "Basic":
        user, colon, word = base64.b64decode(encoded).decode("latin-1").partition(":")
        # pip has decoded them. They are encoded again, because a slash or an @ would end them.
        login = f"{quote(user, safe='')}{colon}{quote(word, safe='')}"
        parts = parts._replace(netloc=f"{login}@{parts.netloc.rpartition('@')[2]}")
    return str(urlunsplit(parts))
