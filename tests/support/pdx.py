"""PDX files (ISO 22901-1) of simulated ECUs, written as XML from what the simulator knows of them."""

from collections.abc import Iterable
from pathlib import Path
from xml.sax.saxutils import escape
from zipfile import ZipFile

from vehicle_simulator.data_identifiers import IDENTIFICATION, DataIdentifier
from vehicle_simulator.ecus import EcuType
from vehicle_simulator.routines import Routine

DOIP_SUBSET = "ISO_13400_2_DIS_2015"
_ODX = '<?xml version="1.0"?><ODX MODEL-VERSION="2.2.0" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">{}</ODX>'
_COMPARAMS = f"""<COMPARAM-SUBSET ID="{DOIP_SUBSET}" CATEGORY="TRANSPORT"><SHORT-NAME>{DOIP_SUBSET}</SHORT-NAME>
<COMPLEX-COMPARAMS><COMPLEX-COMPARAM ID="CP_UniqueRespIdTable" PARAM-CLASS="UNIQUE_ID" CPTYPE="STANDARD"
  CPUSAGE="ECU-COMM"><SHORT-NAME>CP_UniqueRespIdTable</SHORT-NAME>
  <COMPARAM ID="CP_DoIPLogicalEcuAddress" PARAM-CLASS="UNIQUE_ID" CPTYPE="STANDARD" CPUSAGE="ECU-COMM">
    <SHORT-NAME>CP_DoIPLogicalEcuAddress</SHORT-NAME><PHYSICAL-DEFAULT-VALUE>0</PHYSICAL-DEFAULT-VALUE>
    <DATA-OBJECT-PROP-REF ID-REF="DOP_Address"/></COMPARAM></COMPLEX-COMPARAM></COMPLEX-COMPARAMS>
<DATA-OBJECT-PROPS><DATA-OBJECT-PROP ID="DOP_Address"><SHORT-NAME>DOP_Address</SHORT-NAME>
  <COMPU-METHOD><CATEGORY>IDENTICAL</CATEGORY></COMPU-METHOD>
  <DIAG-CODED-TYPE BASE-DATA-TYPE="A_UINT32" xsi:type="STANDARD-LENGTH-TYPE"><BIT-LENGTH>16</BIT-LENGTH>
  </DIAG-CODED-TYPE><PHYSICAL-TYPE BASE-DATA-TYPE="A_UINT32"/></DATA-OBJECT-PROP></DATA-OBJECT-PROPS>
</COMPARAM-SUBSET>"""
_STACK = f"""<COMPARAM-SPEC ID="CPS"><SHORT-NAME>CPS</SHORT-NAME><PROT-STACKS><PROT-STACK ID="STACK">
<SHORT-NAME>STACK</SHORT-NAME><PDU-PROTOCOL-TYPE>ISO_14229_5_on_ISO_13400_2</PDU-PROTOCOL-TYPE>
<PHYSICAL-LINK-TYPE>IEEE_802_3</PHYSICAL-LINK-TYPE><COMPARAM-SUBSET-REFS>
<COMPARAM-SUBSET-REF ID-REF="{DOIP_SUBSET}" DOCREF="{DOIP_SUBSET}" DOCTYPE="COMPARAM-SUBSET"/></COMPARAM-SUBSET-REFS>
</PROT-STACK></PROT-STACKS></COMPARAM-SPEC>"""


def write_pdx(
    path: Path,
    ecu_type: EcuType,
    *,
    name: str = "",
    address: int | None = None,
    dtc_text: str = "{}",
    dtc_bits: int = 24,
    variants: Iterable[tuple[str, str]] = (),
) -> Path:
    """Describes the ECU. `address`: with its DoIP address; `variants`: (short name, part number known by)."""
    layer = _Layer(ecu_type, name or ecu_type.name, dtc_text, dtc_bits)
    with ZipFile(path, "w") as pdx:
        pdx.writestr("index.xml", f"<CATALOG><SHORT-NAME>{path.stem}</SHORT-NAME></CATALOG>")
        pdx.writestr(f"{DOIP_SUBSET}.odx-cs", _ODX.format(_COMPARAMS))
        pdx.writestr("CPS.odx-c", _ODX.format(_STACK))
        pdx.writestr("ecu.odx-d", _ODX.format(layer.container(address, list(variants))))
    return path


class _Layer:
    def __init__(self, ecu_type: EcuType, name: str, dtc_text: str, dtc_bits: int) -> None:
        self._type = ecu_type
        self._name = name
        self._dtc_text = dtc_text
        self._dtc_bits = dtc_bits
        self._data = [*ecu_type.data.values(), *IDENTIFICATION.values()]

    def container(self, address: int | None, variants: list[tuple[str, str]]) -> str:
        return (
            f'<DIAG-LAYER-CONTAINER ID="DLC"><SHORT-NAME>DLC_{self._name}</SHORT-NAME>'
            '<PROTOCOLS><PROTOCOL ID="UDS"><SHORT-NAME>UDS</SHORT-NAME>'
            '<COMPARAM-SPEC-REF ID-REF="CPS" DOCREF="CPS" DOCTYPE="COMPARAM-SPEC"/>'
            '<PROT-STACK-SNREF SHORT-NAME="STACK"/></PROTOCOL></PROTOCOLS>'
            f"<BASE-VARIANTS>{self._base(address)}</BASE-VARIANTS>"
            + (f"<ECU-VARIANTS>{''.join(map(_variant, variants))}</ECU-VARIANTS>" if variants else "")
            + "</DIAG-LAYER-CONTAINER>"
        )

    def _base(self, address: int | None) -> str:
        comparams = "" if address is None else _comparam(address)
        units = {one.unit for one in self._data if one.unit} | {_SECONDS}
        return (
            f'<BASE-VARIANT ID="BV"><SHORT-NAME>{self._name}</SHORT-NAME><DIAG-DATA-DICTIONARY-SPEC>'
            f"<DTC-DOPS>{self._dtcs()}</DTC-DOPS>"
            f"<DATA-OBJECT-PROPS>{''.join(map(_dop, self._data))}{_OTHER_DOPS}</DATA-OBJECT-PROPS>"
            f"{_RECORDS}"
            f"<UNIT-SPEC><UNITS>{''.join(map(_unit, sorted(units)))}</UNITS></UNIT-SPEC>"
            "</DIAG-DATA-DICTIONARY-SPEC>"
            f"<DIAG-COMMS>{''.join(self._services())}</DIAG-COMMS>"
            f"<REQUESTS>{''.join(self._requests())}</REQUESTS>"
            f"<POS-RESPONSES>{''.join(self._responses())}</POS-RESPONSES>{comparams}"
            '<PARENT-REFS><PARENT-REF xsi:type="PROTOCOL-REF" ID-REF="UDS"/></PARENT-REFS></BASE-VARIANT>'
        )

    def _dtcs(self) -> str:
        dtcs = "".join(
            f'<DTC ID="DTC_{fault.code:06X}"><SHORT-NAME>DTC_{fault.code:06X}</SHORT-NAME>'
            f"<TROUBLE-CODE>{fault.code}</TROUBLE-CODE><TEXT>{escape(self._dtc_text.format(fault.fault_name))}</TEXT>"
            f"<LEVEL>{fault.severity}</LEVEL></DTC>"
            for fault in self._type.faults
        )
        return (
            f'<DTC-DOP ID="DTCS"><SHORT-NAME>DTCS</SHORT-NAME>{_CODED.format(self._dtc_bits)}'
            f'<PHYSICAL-TYPE BASE-DATA-TYPE="A_UINT32"/>{_IDENTICAL}<DTCS>{dtcs}</DTCS></DTC-DOP>'
        )

    def _services(self) -> Iterable[str]:
        for one in self._data:
            yield _service(f"Read_{one.name}")
            if one.writable:
                yield _service(f"Write_{one.name}")
        for action, routine in self._actions():
            yield _service(f"{action}_{routine.name}")
        yield _service("Read_extendedData")

    def _requests(self) -> Iterable[str]:
        for one in self._data:
            yield _message("REQUEST", f"RQ_Read_{one.name}", _constants(0x22, one.id))
            if one.writable:
                yield _message("REQUEST", f"RQ_Write_{one.name}", _constants(0x2E, one.id) + _value(one, 3))
        for action, routine in self._actions():
            parameters = _PARAMETERS if action == "Start" and routine.parameter_bytes else ""
            yield _message("REQUEST", f"RQ_{action}_{routine.name}", _routine(0x31, action, routine) + parameters)
        record = _parameter("record", 5, "DOP_byte")
        yield _message("REQUEST", "RQ_Read_extendedData", _report(0x19) + _parameter("DTC", 2, "DTCS") + record)

    def _responses(self) -> Iterable[str]:
        for one in self._data:
            yield _message("POS-RESPONSE", f"PR_Read_{one.name}", _constants(0x62, one.id) + _value(one, 3))
            if one.writable:
                yield _message("POS-RESPONSE", f"PR_Write_{one.name}", _constants(0x6E, one.id))
        for action, routine in self._actions():
            returned = _parameter("status", 4, "DOP_status")
            if action == "Results" or (action == "Start" and not routine.duration_s):
                returned += _parameter("score", 5, f"DOP_score{len(routine.results)}")
            yield _message("POS-RESPONSE", f"PR_{action}_{routine.name}", _routine(0x71, action, routine) + returned)
        fault = _parameter("DTC", 2, "DTCS") + _parameter("statusOfDTC", 5, "DOP_byte")
        records = _parameter("records", 6, "FIELD_records")
        yield _message("POS-RESPONSE", "PR_Read_extendedData", _report(0x59) + fault + records)

    def _actions(self) -> Iterable[tuple[str, Routine]]:
        return ((action, routine) for routine in self._type.routines.values() for action in _ACTIONS)


_PART_NUMBER = IDENTIFICATION[0xF187]
_IDENTICAL = "<COMPU-METHOD><CATEGORY>IDENTICAL</CATEGORY></COMPU-METHOD>"
_CODED = (
    '<DIAG-CODED-TYPE BASE-DATA-TYPE="A_UINT32" xsi:type="STANDARD-LENGTH-TYPE">'
    "<BIT-LENGTH>{}</BIT-LENGTH></DIAG-CODED-TYPE>"
)
_ACTIONS = {"Start": 0x01, "Stop": 0x02, "Results": 0x03}


def _structure(name: str, parameters: str) -> str:
    return f'<STRUCTURE ID="ST_{name}"><SHORT-NAME>{name}</SHORT-NAME><PARAMS>{parameters}</PARAMS></STRUCTURE>'


def _case(number: int, name: str) -> str:
    return (
        f'<CASE><SHORT-NAME>{name}</SHORT-NAME><STRUCTURE-REF ID-REF="ST_{name}"/>'
        f"<LOWER-LIMIT>{number}</LOWER-LIMIT><UPPER-LIMIT>{number}</UPPER-LIMIT></CASE>"
    )


def _number_dop(name: str, bits: int, unit: str = "") -> str:
    return (
        f'<DATA-OBJECT-PROP ID="DOP_{name}"><SHORT-NAME>DOP_{name}</SHORT-NAME>{_IDENTICAL}{_CODED.format(bits)}'
        f'<PHYSICAL-TYPE BASE-DATA-TYPE="A_UINT32"/>{_unit_ref(unit)}</DATA-OBJECT-PROP>'
    )


def _table_dop(name: str, texts: Iterable[str], first: int) -> str:
    scales = "".join(
        f"<COMPU-SCALE><LOWER-LIMIT>{number}</LOWER-LIMIT><UPPER-LIMIT>{number}</UPPER-LIMIT>"
        f"<COMPU-CONST><VT>{text}</VT></COMPU-CONST></COMPU-SCALE>"
        for number, text in enumerate(texts, first)
    )
    return (
        f'<DATA-OBJECT-PROP ID="DOP_{name}"><SHORT-NAME>DOP_{name}</SHORT-NAME><COMPU-METHOD>'
        f"<CATEGORY>TEXTTABLE</CATEGORY><COMPU-INTERNAL-TO-PHYS><COMPU-SCALES>{scales}</COMPU-SCALES>"
        f"</COMPU-INTERNAL-TO-PHYS></COMPU-METHOD>{_CODED.format(8)}"
        '<PHYSICAL-TYPE BASE-DATA-TYPE="A_UNICODE2STRING"/></DATA-OBJECT-PROP>'
    )


def _comparam(address: int) -> str:
    return (
        f'<COMPARAM-REFS><COMPARAM-REF ID-REF="CP_UniqueRespIdTable" DOCREF="{DOIP_SUBSET}" DOCTYPE="COMPARAM-SUBSET">'
        f"<COMPLEX-VALUE><SIMPLE-VALUE>{address}</SIMPLE-VALUE></COMPLEX-VALUE></COMPARAM-REF></COMPARAM-REFS>"
    )


def _variant(variant: tuple[str, str]) -> str:
    name, part_number = variant
    return (
        f'<ECU-VARIANT ID="EV_{name}"><SHORT-NAME>{name}</SHORT-NAME><ECU-VARIANT-PATTERNS><ECU-VARIANT-PATTERN>'
        f"<MATCHING-PARAMETERS><MATCHING-PARAMETER><EXPECTED-VALUE>{part_number}</EXPECTED-VALUE>"
        f'<DIAG-COMM-SNREF SHORT-NAME="Read_{_PART_NUMBER.name}"/>'
        f'<OUT-PARAM-IF-SNREF SHORT-NAME="{_PART_NUMBER.name}"/>'
        "</MATCHING-PARAMETER></MATCHING-PARAMETERS></ECU-VARIANT-PATTERN></ECU-VARIANT-PATTERNS>"
        '<PARENT-REFS><PARENT-REF xsi:type="BASE-VARIANT-REF" ID-REF="BV"/></PARENT-REFS></ECU-VARIANT>'
    )


def _unit(unit: str) -> str:
    name = _unit_id(unit)
    return f'<UNIT ID="{name}"><SHORT-NAME>{name}</SHORT-NAME><DISPLAY-NAME>{unit}</DISPLAY-NAME></UNIT>'


def _unit_id(unit: str) -> str:
    return "UNIT_" + unit.encode().hex()


def _unit_ref(unit: str) -> str:
    return f'<UNIT-REF ID-REF="{_unit_id(unit)}"/>' if unit else ""


def _dop(one: DataIdentifier) -> str:
    coded = _CODED.format(8 * one.length)
    kind, method = "A_UINT32", _IDENTICAL
    if one.coding == "text":
        kind = "A_UNICODE2STRING"
        coded = (
            '<DIAG-CODED-TYPE BASE-DATA-TYPE="A_ASCIISTRING" TERMINATION="END-OF-PDU" xsi:type="MIN-MAX-LENGTH-TYPE">'
            f"<MAX-LENGTH>{one.length}</MAX-LENGTH><MIN-LENGTH>1</MIN-LENGTH></DIAG-CODED-TYPE>"
        )
    elif one.coding == "bytes":
        kind, coded = "A_BYTEFIELD", coded.replace("A_UINT32", "A_BYTEFIELD")
    elif (one.scale, one.offset) != (1, 0):
        kind = "A_FLOAT64"
        method = (
            "<COMPU-METHOD><CATEGORY>LINEAR</CATEGORY><COMPU-INTERNAL-TO-PHYS><COMPU-SCALES><COMPU-SCALE>"
            f"<COMPU-RATIONAL-COEFFS><COMPU-NUMERATOR><V>{one.offset}</V><V>{one.scale}</V></COMPU-NUMERATOR>"
            "<COMPU-DENOMINATOR><V>1</V></COMPU-DENOMINATOR></COMPU-RATIONAL-COEFFS></COMPU-SCALE></COMPU-SCALES>"
            "</COMPU-INTERNAL-TO-PHYS></COMPU-METHOD>"
        )
    return (
        f'<DATA-OBJECT-PROP ID="DOP_{one.name}"><SHORT-NAME>DOP_{one.name}</SHORT-NAME>{method}{coded}'
        f'<PHYSICAL-TYPE BASE-DATA-TYPE="{kind}"/>{_unit_ref(one.unit)}</DATA-OBJECT-PROP>'
    )


def _service(name: str) -> str:
    return (
        f'<DIAG-SERVICE ID="DS_{name}"><SHORT-NAME>{name}</SHORT-NAME><REQUEST-REF ID-REF="RQ_{name}"/>'
        f'<POS-RESPONSE-REFS><POS-RESPONSE-REF ID-REF="PR_{name}"/></POS-RESPONSE-REFS></DIAG-SERVICE>'
    )


def _message(tag: str, name: str, parameters: str) -> str:
    return f'<{tag} ID="{name}"><SHORT-NAME>{name}</SHORT-NAME><PARAMS>{parameters}</PARAMS></{tag}>'


def _constants(service: int, identifier: int) -> str:
    return _constant("service", 0, 8, service) + _constant("identifier", 1, 16, identifier)


def _report(service: int) -> str:
    """0x06: extended data records."""
    return _constant("service", 0, 8, service) + _constant("report", 1, 8, 0x06)


def _routine(service: int, action: str, routine: Routine) -> str:
    constants = (("service", 0, 8, service), ("control", 1, 8, _ACTIONS[action]), ("identifier", 2, 16, routine.id))
    return "".join(_constant(*one) for one in constants)


def _constant(name: str, at: int, bits: int, value: int) -> str:
    return (
        f'<PARAM xsi:type="CODED-CONST"><SHORT-NAME>{name}</SHORT-NAME><BYTE-POSITION>{at}</BYTE-POSITION>'
        f"<CODED-VALUE>{value}</CODED-VALUE>{_CODED.format(bits)}</PARAM>"
    )


def _value(one: DataIdentifier, at: int) -> str:
    return _parameter(one.name, at, f"DOP_{one.name}")


def _parameter(name: str, at: int, dop: str) -> str:
    return (
        f'<PARAM xsi:type="VALUE" SEMANTIC="DATA"><SHORT-NAME>{name}</SHORT-NAME><BYTE-POSITION>{at}</BYTE-POSITION>'
        f'<DOP-REF ID-REF="{dop}"/></PARAM>'
    )


# What routines take and return.
_SECONDS = "s"
_PARAMETERS = _parameter("valve", 4, "DOP_valve") + _parameter("duration", 5, "DOP_seconds")
_OTHER_DOPS = (
    _table_dop("status", ("completed", "running", "stopped"), 0)
    + _table_dop("valve", ("frontLeft", "frontRight", "rearLeft", "rearRight"), 1)
    + _number_dop("seconds", 8, _SECONDS)
    + _number_dop("score1", 8)
    + _number_dop("score2", 16)
    + _number_dop("byte", 8)
)
# Extended data records one after the other, each beginning with its number, which says what follows.
_COUNTERS = {1: "occurrenceCounter", 2: "agingCounter"}
_RECORDS = (
    "<STRUCTURES>"
    + "".join(_structure(name, _parameter(name, 0, "DOP_byte")) for name in _COUNTERS.values())
    + _structure("record", _parameter("content", 0, "MUX_record"))
    + '</STRUCTURES><END-OF-PDU-FIELDS><END-OF-PDU-FIELD ID="FIELD_records"><SHORT-NAME>records</SHORT-NAME>'
    '<BASIC-STRUCTURE-REF ID-REF="ST_record"/></END-OF-PDU-FIELD></END-OF-PDU-FIELDS>'
    '<MUXS><MUX ID="MUX_record"><SHORT-NAME>content</SHORT-NAME><BYTE-POSITION>1</BYTE-POSITION><SWITCH-KEY>'
    '<BYTE-POSITION>0</BYTE-POSITION><DATA-OBJECT-PROP-REF ID-REF="DOP_byte"/></SWITCH-KEY>'
    f"<CASES>{''.join(_case(*counter) for counter in _COUNTERS.items())}</CASES></MUX></MUXS>"
)
