"""How routes answer and ask: JSON by orjson, errors of the command service as ServiceErrors."""

from collections.abc import Awaitable
from typing import Any, TypeVar

import grpc.aio
import orjson
from pydantic import BaseModel
from starlette.responses import Response

from service_kit.errors import NotAuthenticated, Unavailable
from service_kit.grpc_errors import from_rpc_error
from service_kit.logging import get_logger

Answer = TypeVar("Answer")

log = get_logger(__name__)


def json_answer(content: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """Without the framework's validation and re-encoding: what is answered was made here."""
    return Response(orjson.dumps(content), status, headers, "application/json")


def answers(
    model: type[BaseModel], example: Any, *, status: int = 200, description: str = "OK"
) -> dict[int | str, Any]:
    """For a route's `responses=`: what it answers, with an example."""
    content = {"application/json": {"example": example}}
    return {status: {"model": model, "description": description, "content": content}}


async def ask(call: Awaitable[Answer]) -> Answer:
    """The answer of the command service; raises ServiceError."""
    try:
        return await call
    except grpc.aio.AioRpcError as rpc_error:
        error = from_rpc_error(rpc_error, "command_service")
        if isinstance(error, NotAuthenticated):  # it is the gateway that was refused, not the user
            log.error("service_credential_refused", setting="SERVICE_TOKEN")
            error = Unavailable("COMMAND_SERVICE_UNAVAILABLE", "The command service is not available; try again.")
        raise error from None
