"""Domain errors across gRPC: encoded once here, decoded once here.

A call that fails carries google.rpc.Status (rich status) with a DomainError as its detail; a batch carries the same
DomainError inline, for each item that was rejected.
"""

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from inspect import isasyncgenfunction
from typing import Any, NoReturn

import grpc
from google.protobuf.any_pb2 import Any as AnyMessage
from google.rpc.status_pb2 import Status  # type: ignore[import-untyped]
from grpc_status import rpc_status

from service_kit.errors import BY_CATEGORY, Category, ServiceError, Unavailable
from service_kit.grpc_metrics import Call
from service_kit.logging import get_logger
from sovd_protos.errors.v1.error_pb2 import DomainError

Context = grpc.aio.ServicerContext[Any, Any]

_log = get_logger(__name__)

_DETAILS_KEY = "grpc-status-details-bin"
# Errors travel in HTTP/2 trailers, which gRPC limits to 8 KiB in all.
_MAX_MESSAGE = 1000
_MAX_DETAILS = 3000

STATUS_CODES = {
    Category.INVALID: grpc.StatusCode.INVALID_ARGUMENT,
    Category.NOT_AUTHENTICATED: grpc.StatusCode.UNAUTHENTICATED,
    Category.FORBIDDEN: grpc.StatusCode.PERMISSION_DENIED,
    Category.NOT_FOUND: grpc.StatusCode.NOT_FOUND,
    Category.CONFLICT: grpc.StatusCode.FAILED_PRECONDITION,
    Category.LIMIT_EXCEEDED: grpc.StatusCode.RESOURCE_EXHAUSTED,
    Category.UNAVAILABLE: grpc.StatusCode.UNAVAILABLE,
}
# The other side is away, stopping or too slow: the same call may succeed later.
_AWAY = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.CANCELLED)


def to_domain_error(error: ServiceError) -> DomainError:
    return DomainError(
        category=error.category.value,
        code=error.code,
        message=error.message,
        details_json=json.dumps(error.details, default=str) if error.details else "",
    )


def from_domain_error(message: DomainError) -> ServiceError:
    """Of a category that this version does not know yet: Unavailable, which promises nothing."""
    kind = BY_CATEGORY[Category(message.category)] if message.category in set(Category) else Unavailable
    details = json.loads(message.details_json) if message.details_json else None
    return kind(message.code, message.message, details)


def from_rpc_error(error: grpc.aio.AioRpcError, service: str = "service") -> ServiceError:
    """What a failed call to `service` ("command_service") means: the domain error it carries, else Unavailable.

    The code is then COMMAND_SERVICE_UNAVAILABLE, or COMMAND_SERVICE_FAILED when it broke rather than was away.
    """
    carried = _carried_error(error)
    if carried is not None:
        return carried
    name, code = service.replace("_", " "), service.upper()
    if error.code() in _AWAY:
        return Unavailable(f"{code}_UNAVAILABLE", f"The {name} is not available; try again.")
    _log.warning("call_failed", target=service, status=error.code().name, details=error.details())
    return Unavailable(f"{code}_FAILED", f"The {name} could not answer; try again.")


def rich_status(error: ServiceError) -> Status:
    carried = to_domain_error(error)
    carried.message = carried.message[:_MAX_MESSAGE]
    if len(carried.details_json) > _MAX_DETAILS:
        carried.details_json = ""
    detail = AnyMessage()
    detail.Pack(carried)
    return Status(code=STATUS_CODES[error.category].value[0], message=carried.message, details=[detail])


async def abort(context: Context, error: ServiceError) -> NoReturn:
    """End the call with `error`. Handlers just raise it; this is for interceptors."""
    status = rpc_status.to_status(rich_status(error))
    await context.abort(status.code, status.details, status.trailing_metadata)


class ErrorInterceptor(grpc.aio.ServerInterceptor):  # type: ignore[type-arg]  # generic in the stubs only
    """A ServiceError that a handler raises reaches the caller as it is; of another error the caller learns nothing.

    Every call is counted here too, with the status it got.
    """

    def __init__(self) -> None:
        self._wrapped: dict[str, Any] = {}

    async def intercept_service(self, continuation: Any, details: grpc.HandlerCallDetails) -> Any:
        wrapped = self._wrapped.get(details.method)
        if wrapped is None:
            handler = await continuation(details)
            if handler is None:  # no such method
                return None
            wrapped = self._wrapped[details.method] = _wrap_handler(handler, details.method)
        return wrapped


def _wrap_handler(handler: Any, method: str) -> Any:
    """The same RpcMethodHandler around a function that translates its errors."""
    for kind in ("unary_unary", "unary_stream", "stream_unary", "stream_stream"):
        function = getattr(handler, kind)
        if function is not None:
            wrap = _wrap_generator if isasyncgenfunction(function) else _wrap_coroutine
            make = getattr(grpc, f"{kind}_rpc_method_handler")
            return make(wrap(function, method), handler.request_deserializer, handler.response_serializer)
    raise TypeError(f"{method} has no handler function")


def _wrap_coroutine(function: Callable[..., Awaitable[Any]], method: str) -> Callable[..., Awaitable[Any]]:
    async def call(request: Any, context: Context) -> Any:
        with Call(method, context, is_stream=False):
            try:
                return await function(request, context)
            except Exception as error:
                await _end_failed_call(context, error, method)

    return call


def _wrap_generator(function: Callable[..., Any], method: str) -> Callable[..., AsyncIterator[Any]]:
    async def call(request: Any, context: Context) -> AsyncIterator[Any]:
        with Call(method, context, is_stream=True):
            try:
                async with aclosing(function(request, context)) as answers:
                    async for answer in answers:
                        yield answer
            except Exception as error:
                await _end_failed_call(context, error, method)

    return call


async def _end_failed_call(context: Context, error: Exception, method: str) -> NoReturn:
    if isinstance(error, grpc.aio.AbortError):  # the handler has ended the call itself
        raise error
    if isinstance(error, ServiceError):
        await abort(context, error)
    _log.error("call_failed_unexpectedly", method=method, exc_info=error)
    await context.abort(grpc.StatusCode.INTERNAL, "internal error")


def _carried_error(error: grpc.aio.AioRpcError) -> ServiceError | None:
    trailers: Any = error.trailing_metadata() or ()
    for key, value in trailers:
        if key == _DETAILS_KEY:
            for detail in Status.FromString(value).details:
                message = DomainError()
                if detail.Unpack(message):
                    return from_domain_error(message)
    return None
