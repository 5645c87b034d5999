"""What ECUs answer, decoded (ISO 14229-1). Pure functions of bytes; garbage raises BadAnswer and nothing else.

Each takes a whole positive response, beginning with the service byte, that has been matched to its request.
"""

from collections.abc import Callable, Mapping

from service_kit.uds.dtc import fault_object, status_object
from service_kit.uds.identification import text_of
from vehicle_links.dialled import BadResponse
from vehicle_links.unreadable import quoted

_QUOTED_BYTES = 300

Json = dict[str, object]
Describe = Callable[[int, bytes], Json]
DescribeRecord = Callable[[bytes], Json]


class BadAnswer(BadResponse):
    """The command ends failed; the bytes are kept."""

    def __init__(self, complaint: str, answer: bytes) -> None:
        super().__init__(f"The vehicle's answer {complaint}", quoted(answer, _QUOTED_BYTES), quoted(answer))


class SizeNeeded(Exception):
    """A record cannot be told from the next one before the size of this identifier's data is known, in bytes."""

    def __init__(self, identifier: int) -> None:
        super().__init__(identifier)
        self.identifier = identifier


def hexadecimal(data: bytes) -> str:
    return f"0x{data.hex().upper()}"


def dtcs(answer: bytes) -> list[tuple[int, int]]:
    """0x59 0x02, availability mask, then 3 bytes of DTC and its status each: (code, status)."""
    records = answer[3:]
    if len(answer) < 3 or len(records) % 4:
        raise BadAnswer("is no list of DTCs with 4 bytes each", answer)
    return [(int.from_bytes(records[at : at + 3], "big"), records[at + 3]) for at in range(0, len(records), 4)]


def fault_details(address: int, code: int, snapshots: bytes, extended: bytes) -> Json:
    """Code and status as in answers of 0x59 0x04 or 0x06, which both begin with them."""
    for answer in (snapshots, extended):
        if answer and (len(answer) < 6 or int.from_bytes(answer[2:5], "big") != code):
            raise BadAnswer("is not about the DTC that was asked for", answer)
    known = snapshots or extended
    status = known[5] if known else 0
    details = fault_object(address, code, status)
    return details if known else details | {"status": status_object(0)}


def snapshot_records(answer: bytes, sizes: Mapping[int, int], describe: Describe = lambda *_: {}) -> list[Json]:
    """0x59 0x04, DTC, status; then record number, how many identifiers, and each identifier with its data.

    `sizes`: bytes of data by identifier, 0 for one whose size cannot be known: then what follows is the record's `raw`.
    Raises SizeNeeded for an identifier that is not there. `describe`: what is known of an identifier's data besides.
    """
    records: list[Json] = []
    at = 6
    while at < len(answer):
        if at + 2 > len(answer):
            raise BadAnswer("ends within a snapshot record", answer)
        record: Json = {"record_number": answer[at]}
        at = _snapshot(answer, at + 1, sizes, record, describe)
        records.append(record)
    return records


def extended_data_records(
    answer: bytes, sizes: Mapping[int, int], describe: DescribeRecord = lambda _: {}
) -> list[Json]:
    """0x59 0x06, DTC, status; then record number and data. `sizes` as above, by record number. `describe`: what is
    known besides of a record, given as if it were alone in the answer.
    """
    records: list[Json] = []
    at = 6
    while at < len(answer):
        number = answer[at]
        if at + 1 == len(answer):
            raise BadAnswer("has an extended data record without data", answer)
        size = _size(number, sizes, len(answer) - at - 1)
        if at + 1 + size > len(answer):
            raise BadAnswer("ends within an extended data record", answer)
        end = at + 1 + size
        record: Json = {"record_number": number, "raw": hexadecimal(answer[at + 1 : end])}
        records.append(record | describe(answer[:6] + answer[at:end]))
        at = end
    return records


def data_value(address: int, data_id: int, answer: bytes) -> Json:
    """0x62, the identifier, its data. What ISO 14229-1 Annex C.1 has as text is shown as text."""
    raw = answer[3:]
    if not raw:
        raise BadAnswer("has no data", answer)
    return {"ecuAddress": f"0x{address:X}"} | data_object(data_id, raw)


def data_object(data_id: int, raw: bytes) -> Json:
    value: Json = {"id": f"0x{data_id:04X}", "raw": hexadecimal(raw)}
    text = text_of(data_id, raw)
    return value if text is None else value | {"value": text}


def _snapshot(answer: bytes, at: int, sizes: Mapping[int, int], record: Json, describe: Describe) -> int:
    """Reads one record's identifiers, of which there are answer[at], into `record`; returns where it ends."""
    data: list[Json] = []
    record["data"] = data
    left = answer[at]
    at += 1
    while left:
        if at + 2 >= len(answer):
            raise BadAnswer("ends within a snapshot record", answer)
        data_id = int.from_bytes(answer[at : at + 2], "big")
        size = _size(data_id, sizes, 0)
        if not size:
            record["raw"] = hexadecimal(answer[at:])
            return len(answer)
        if at + 2 + size > len(answer):
            raise BadAnswer("ends within a snapshot record", answer)
        raw = answer[at + 2 : at + 2 + size]
        data.append(data_object(data_id, raw) | describe(data_id, raw))
        at += 2 + size
        left -= 1
    return at


def _size(identifier: int, sizes: Mapping[int, int], unknown: int) -> int:
    size = sizes.get(identifier)
    if size is None:
        raise SizeNeeded(identifier)
    return size or unknown
