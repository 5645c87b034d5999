"""Reads what vehicles send, text that is not UTF-8 included: one bad answer must not take its session down."""

from functools import cache
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import DecodeError

from sovd_protos.session.v1 import session_pb2 as wire

_Field = descriptor_pb2.FieldDescriptorProto
_AFTER_HELLO = ("FromVehicle", "Heartbeat", "CommandUpdate", "Pending", "Finished")


def parse_from_vehicle(data: bytes) -> wire.FromVehicle:
    """Raises DecodeError for what is no message of this protocol at all."""
    try:
        return wire.FromVehicle.FromString(data)
    except DecodeError:
        return _parse_with_bad_text(data)


def _parse_with_bad_text(data: bytes) -> wire.FromVehicle:
    message = _twin().FromString(data)
    for update in message.updates:
        update.command_id = _readable(update.command_id)
        kind = update.WhichOneof("kind")
        if kind == "response" and not _is_text(update.response):
            # Certainly no JSON object, so it is refused where every response is checked.
            update.response = b"not UTF-8: " + _readable(update.response)
        elif kind in ("pending", "finished"):
            part = getattr(update, kind)
            part.message = _readable(part.message)
        if kind == "finished":
            update.finished.code = _readable(update.finished.code)
            update.finished.unreadable = _readable(update.finished.unreadable)
    return wire.FromVehicle.FromString(message.SerializeToString())


def _is_text(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def _readable(data: bytes) -> bytes:
    return data.decode(errors="backslashreplace").encode()


@cache
def _twin() -> Any:
    """FromVehicle with `bytes` for each `string`. Without the hello: who cannot introduce himself is sent away."""
    file = descriptor_pb2.FileDescriptorProto()
    wire.DESCRIPTOR.CopyToProto(file)
    file.ClearField("service")
    file.ClearField("dependency")
    messages = [message for message in file.message_type if message.name in _AFTER_HELLO]
    for message in messages:
        fields = [field for field in message.field if not field.type_name.endswith(".Hello")]
        for field in fields:
            if field.type == _Field.TYPE_STRING:
                field.type = _Field.TYPE_BYTES
        _keep(message.field, fields)
    _keep(file.message_type, messages)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{file.package}.FromVehicle"))


def _keep(repeated: Any, wanted: list[Any]) -> None:
    copies = [type(item).FromString(item.SerializeToString()) for item in wanted]
    del repeated[:]
    repeated.extend(copies)
