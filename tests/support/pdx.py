"""PDX files (ISO 22901-1) of simulated ECUs, written as XML from what the simulator knows of them."""

from collections.abc import Iterable
from pathlib import Path
from xml.sax.saxutils import escape
from zipfile import ZipFile

from vehicle_simulator.data_identifiers import DataIdentifier
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
    variants: Iterable[tuple[str, str]] = (),
) -> Path:
    """Describes the ECU. `address`: with its DoIP address; `variants`: (short name, part number known by)."""
    layer = _Layer(ecu_type, name or ecu_type.name, dtc_text)
    with ZipFile(path, "w") as pdx:
        pdx.writestr("index.xml", f"<CATALOG><SHORT-NAME>{path.stem}</SHORT-NAME></CATALOG>")
        pdx.writestr(f"{DOIP_SUBSET}.odx-cs", _ODX.format(_COMPARAMS))
        pdx.writestr("CPS.odx-c", _ODX.format(_STACK))
        pdx.writestr("ecu.odx-d", _ODX.format(layer.container(address, list(variants))))
    return path


class _Layer:
    def __init__(self, ecu_type: EcuType, name: str, dtc_text: str) -> None:
        self._type = ecu_type
        self._name = name
        self._dtc_text = dtc_text
        self._data = [*ecu_type.data.values(), _PART_NUMBER]

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
        units = {one.unit for one in self._data if one.unit}
        return (
            f'<BASE-VARIANT ID="BV"><SHORT-NAME>{self._name}</SHORT-NAME><DIAG-DATA-DICTIONARY-SPEC>'
            f"<DTC-DOPS>{self._dtcs()}</DTC-DOPS>"
            f"<DATA-OBJECT-PROPS>{''.join(map(_dop, self._data))}{_STATUS_DOP}</DATA-OBJECT-PROPS>"
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
            f'<DTC-DOP ID="DTCS"><SHORT-NAME>DTCS</SHORT-NAME>{_CODED.format(24)}'
            f'<PHYSICAL-TYPE BASE-DATA-TYPE="A_UINT32"/>{_IDENTICAL}<DTCS>{dtcs}</DTCS></DTC-DOP>'
        )

    def _services(self) -> Iterable[str]:
        for one in self._data:
            yield _service(f"Read_{one.name}")
            if one.writable:
                yield _service(f"Write_{one.name}")
        for routine in self._type.routines.values():
            yield _service(f"Start_{routine.name}")

    def _requests(self) -> Iterable[str]:
        for one in self._data:
            yield _message("REQUEST", f"RQ_Read_{one.name}", _constants(0x22, one.id))
            if one.writable:
                yield _message("REQUEST", f"RQ_Write_{one.name}", _constants(0x2E, one.id) + _value(one, 3))
        for routine in self._type.routines.values():
            yield _message("REQUEST", f"RQ_Start_{routine.name}", _routine(0x31, routine))

    def _responses(self) -> Iterable[str]:
        for one in self._data:
            yield _message("POS-RESPONSE", f"PR_Read_{one.name}", _constants(0x62, one.id) + _value(one, 3))
            if one.writable:
                yield _message("POS-RESPONSE", f"PR_Write_{one.name}", _constants(0x6E, one.id))
        for routine in self._type.routines.values():
            status = _parameter("status", 4, "DOP_routineStatus")
            yield _message("POS-RESPONSE", f"PR_Start_{routine.name}", _routine(0x71, routine) + status)


_PART_NUMBER = DataIdentifier(0xF187, "vehicleManufacturerSparePartNumber", "text", 10)
_IDENTICAL = "<COMPU-METHOD><CATEGORY>IDENTICAL</CATEGORY></COMPU-METHOD>"
_CODED = (
    '<DIAG-CODED-TYPE BASE-DATA-TYPE="A_UINT32" xsi:type="STANDARD-LENGTH-TYPE">'
    "<BIT-LENGTH>{}</BIT-LENGTH></DIAG-CODED-TYPE>"
)
_STATES = "".join(
    f"<COMPU-SCALE><LOWER-LIMIT>{number}</LOWER-LIMIT><UPPER-LIMIT>{number}</UPPER-LIMIT>"
    f"<COMPU-CONST><VT>{state}</VT></COMPU-CONST></COMPU-SCALE>"
    for number, state in enumerate(("completed", "running", "stopped"))
)
_STATUS_DOP = (
    '<DATA-OBJECT-PROP ID="DOP_routineStatus"><SHORT-NAME>DOP_routineStatus</SHORT-NAME><COMPU-METHOD>'
    "<CATEGORY>TEXTTABLE</CATEGORY><COMPU-INTERNAL-TO-PHYS><COMPU-SCALES>"
    f"{_STATES}</COMPU-SCALES></COMPU-INTERNAL-TO-PHYS></COMPU-METHOD>{_CODED.format(8)}"
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
    unit = f'<UNIT-REF ID-REF="{_unit_id(one.unit)}"/>' if one.unit else ""
    return (
        f'<DATA-OBJECT-PROP ID="DOP_{one.name}"><SHORT-NAME>DOP_{one.name}</SHORT-NAME>{method}{coded}'
        f'<PHYSICAL-TYPE BASE-DATA-TYPE="{kind}"/>{unit}</DATA-OBJECT-PROP>'
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


def _routine(service: int, routine: Routine) -> str:
    constants = (("service", 0, 8, service), ("control", 1, 8, 0x01), ("identifier", 2, 16, routine.id))
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
