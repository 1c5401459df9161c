"""What moto lacks is refused at once, in the service's own words.

moto raises NotImplementedError for an operation, a filter or an option that it does not have, and stumbles over values
that it does not expect; its server makes an HTML page with status 500 of both. SDKs take a 500 for a hiccup, ask again
for minutes, and nobody learns why. Here it is a 400 in the service's protocol that names what is missing, a line in the
log, and one in `python -m localcloud status`. A fault in this project stays a 500.
"""

from __future__ import annotations

import logging
import traceback
from collections import Counter
from typing import Any

from moto.core.exceptions import ServiceException
from moto.core.responses import ActionResult, BaseResponse

LOGGER = logging.getLogger(__name__)

# What was asked for in vain since the process began: service, and what the local cloud lacks -> how often.
refused: Counter[tuple[str, str]] = Counter()

MISSING_ACTION = "action has not been implemented"  # moto's words


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
            LOGGER.exception("%s %s", self.service_name, self._get_action())
            if _is_ours(error):
                return serialized_error(
                    self, "InternalFailure", "It failed, and python -m localcloud logs says why.", 500
                )
            # The request has what moto does not look for, such as the id of something that is not there.
            reason = f"{type(error).__name__}: {error}"
            return _refuse(self, "InvalidParameterValue", f"can't do this {self._get_action()} ({reason})")

    BaseResponse.call_action = call_action  # type: ignore[method-assign]


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
