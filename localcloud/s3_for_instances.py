"""S3 as instances reach it: with the keys of their instance profile, and what its policies allow.

The API on loopback does what anybody asks, as nobody but the machine's own users reaches it. Here a request without a
signature, with another's key, or for what no policy of the role allows, is refused as AWS does: moto looks at the
signature and at the role's policies (actions and resources, not conditions), not at those of buckets and endpoints.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterable
from typing import Any
from xml.sax.saxutils import escape

from moto.core.authorization import ActionAuthenticatorMixin
from werkzeug.wsgi import get_input_stream

from localcloud.backends import API_LOCK
from localcloud.overlay import refusals

SIGNATURE = re.compile(r"AWS4-HMAC-SHA256 Credential=[^/,]+/[^/,]+/[^/,]+/s3/aws4_request\b")
ERROR = '<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>{code}</Code><Message>{message}</Message></Error>'


class S3ForInstances:
    """The service, as a WSGI application. `save` and `changed` are called after each request that changed something."""

    def __init__(self, changed: Callable[[], None], save: Callable[[], object]) -> None:
        self._application = refusals.create_app("s3")
        self._changed, self._save = changed, save

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        if not SIGNATURE.match(environ.get("HTTP_AUTHORIZATION", "")):
            return refuse(start_response, "Access Denied")
        # All of it before the lock, which keeps everybody else waiting: it comes as slowly as an instance sends it.
        environ["wsgi.input"] = io.BytesIO(get_input_stream(environ).read())
        with API_LOCK:
            counted = ActionAuthenticatorMixin.request_count
            # moto authenticates from a number of requests on, which is infinite otherwise.
            ActionAuthenticatorMixin.request_count = float("inf")  # type: ignore[assignment]
            try:
                body = list(self._application(environ, start_response))
            finally:
                ActionAuthenticatorMixin.request_count = counted
        if environ["REQUEST_METHOD"] not in ("GET", "HEAD"):
            self._save()
            self._changed()
        return body


def refuse(start_response: Callable[..., Any], message: str) -> list[bytes]:
    body = ERROR.format(code="AccessDenied", message=escape(message)).encode()
    start_response("403 Forbidden", [("Content-Type", "application/xml"), ("Content-Length", str(len(body)))])
    return [body]
