"""What moto lacks is refused at once, in the service's own words.

moto raises NotImplementedError for an operation, a filter or an option that it does not have, and stumbles over values
that it does not expect; its server makes an HTML page with status 500 of both. SDKs take a 500 for a hiccup, ask again
for minutes, and nobody learns why. Here it is a 400 in the service's protocol that names what is missing, a line in the
log, and one in `python -m localcloud status`; so it is for a service that moto lacks, or whose packages are not
installed. A fault in this project stays a 500.
"""

from __future__ import annotations

import json
import logging
import re
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any
from xml.sax.saxutils import escape

from botocore.model import OperationNotFoundError
from moto.core.exceptions import ServiceException
from moto.core.responses import ActionResult, BaseResponse
from moto.core.utils import get_service_model
from moto.moto_server.werkzeug_app import create_backend_app

LOGGER = logging.getLogger(__name__)

# What was asked for in vain since the process began: service, and what the local cloud lacks -> how often.
refused: Counter[tuple[str, str]] = Counter()

MISSING_ACTION = "action has not been implemented"  # moto's words
SIGNED_FOR = re.compile(r"Credential=[^/]+/[^/]+/[^/]+/([^/]+)/aws4_request")  # whom a request is for
CBOR = "rpc-v2-cbor"


def install() -> None:
    """Wrap the one method through which moto's services answer."""
    answer = BaseResponse.call_action

    def call_action(self: BaseResponse) -> Any:
        try:
            return answer(self)
        except NotImplementedError as error:
            operation = self._get_action()
            if MISSING_ACTION in str(error):
                return _refuse(self, "InvalidAction", f"does not have the operation {operation}")
            return _refuse(self, "InvalidParameterValue", f"does not have this of {operation}: {_gist(str(error))}")
        except Exception as error:
            if isinstance(error, KeyError) and _is_member(self, error.args[0]):
                # Most members need not be given by the service's model, and yet an operation can't do without some.
                message = f"The request must contain the parameter {error.args[0]}"
                return serialized_error(self, "MissingParameter", message, 400)
            LOGGER.exception("%s %s", self.service_name, self._get_action())
            if _is_ours(error):
                return serialized_error(
                    self, "InternalFailure", "It failed, and python -m localcloud logs says why.", 500
                )
            # The request has what moto does not look for, such as the id of something that is not there.
            reason = f"{type(error).__name__}: {error}"
            return _refuse(self, "InvalidParameterValue", f"can't do this {self._get_action()} ({reason})")

    BaseResponse.call_action = call_action  # type: ignore[method-assign]


def _is_member(response: BaseResponse, name: object) -> bool:
    """Whether it is the name of a parameter of the operation that is asked for, or of a part of one."""
    try:
        model = get_service_model(response.boto3_service_name).operation_model(response._get_action())
    except OperationNotFoundError:
        return False
    return any(member == name for member in _members(model.input_shape, ()))


def _members(shape: Any, above: tuple[str, ...]) -> Iterator[str]:
    """Names of all that a shape has in it."""
    if shape is None or shape.name in above:  # some shapes contain themselves
        return
    if shape.type_name == "list":
        yield from _members(shape.member, (*above, shape.name))
    elif shape.type_name == "structure":
        for name, member in shape.members.items():
            yield name
            yield from _members(member, (*above, shape.name))


def _is_ours(error: Exception) -> bool:
    """Whether an exception was raised by this project's code, not by moto or for it."""
    *_, (frame, _) = traceback.walk_tb(error.__traceback__)
    return str(frame.f_globals.get("__name__", "")).startswith("localcloud")


def _refuse(response: BaseResponse, code: str, what: str) -> Any:
    LOGGER.warning("%s: the local cloud %s", response.service_name, what)
    refused[str(response.service_name), what] += 1
    return serialized_error(response, code, f"The local cloud {what}.", 400)


def _gist(reason: str) -> str:
    """What moto says, on one line and without its request to contribute."""
    text = " ".join(reason.split())
    return text.partition(" Feel free")[0].removesuffix(" yet.") or "it isn't said what"


def serialized_error(response: BaseResponse, code: str, message: str, status: int) -> Any:
    """An error as a service answers it, for `call_action` to return."""
    # moto tells the service by the exception's module.
    exception = type("Refusal", (ServiceException,), {"__module__": type(response).__module__})
    _, headers, body = response.serialized(ActionResult(exception(code, message)))
    headers["status"] = str(status)
    headers, body = response._enrich_response(headers, body)
    return status, headers, body


# -- services -----------------------------------------------------------------------------------------------------


def create_app(service: str | None) -> Any:
    """moto's application of a service (WSGI), or one that refuses all. None: moto has no such service."""
    if service is None:
        return _refuse_service
    try:
        return create_backend_app(service)  # type: ignore[arg-type]
    except ModuleNotFoundError as error:
        LOGGER.warning("%s: %s", service, error)
        return _refuse_service


def _refuse_service(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
    found = SIGNED_FOR.search(environ.get("HTTP_AUTHORIZATION", ""))
    service = found.group(1) if found else "unknown"
    what = f"does not have the service {service}"
    LOGGER.warning("the local cloud %s", what)
    refused[service, what] += 1
    headers, body = _in_the_protocol_of(environ, "InvalidAction", f"The local cloud {what}.")
    start_response("400 Bad Request", headers)
    return [body]


def _in_the_protocol_of(environ: dict[str, Any], code: str, message: str) -> tuple[list[tuple[str, str]], bytes]:
    """An error as the client that sent this request reads it: headers and body."""
    if environ.get("HTTP_SMITHY_PROTOCOL") == CBOR:
        texts = [text.encode() for text in ("__type", code, "message", message)]
        encoded = b"".join(b"\x79" + len(text).to_bytes(2, "big") + text for text in texts)
        return [("Content-Type", "application/cbor"), ("Smithy-Protocol", CBOR)], b"\xa2" + encoded
    if environ.get("CONTENT_TYPE", "").startswith("application/x-www-form-urlencoded"):
        error = f"<Error><Type>Sender</Type><Code>{code}</Code><Message>{escape(message)}</Message></Error>"
        return [("Content-Type", "text/xml")], f"<ErrorResponse>{error}</ErrorResponse>".encode()
    headers = [("Content-Type", "application/json"), ("x-amzn-errortype", code)]
    return headers, json.dumps({"__type": code, "message": message}).encode()
