"""The PDX files of a folder: which are read, how often, and which of their variants an ECU is."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from zipfile import ZipFile

import pytest
from structlog.testing import capture_logs

from tests.support.pdx import write_pdx
from vehicle_links.doip.descriptions import RAW, Description
from vehicle_links.odx import check_odx_folder, library
from vehicle_links.odx.library import OdxLibrary
from vehicle_simulator.ecus import ECU_TYPES

VIN = "WDD1234567890ABCD"
ENGINE = ECU_TYPES[0x10]
P0420 = 0x042011


def read(folder: Path) -> OdxLibrary:
    made = OdxLibrary(folder)
    made.look()
    return made


class Ecu:
    """Answers what is asked to find out which it is."""

    def __init__(self, answers: Mapping[int, bytes] | None = None) -> None:
        self.asked: list[bytes] = []
        self._answers = answers or {}

    async def ask(self, request: bytes) -> bytes:
        self.asked.append(request)
        known = self._answers.get(int.from_bytes(request[1:3], "big"))
        return b"\x7f\x22\x31" if known is None else b"\x62" + request[1:3] + known


async def described(made: OdxLibrary, ecu: Ecu | None = None, *, address: int = 0x10, vin: str = VIN) -> Description:
    return await made.of_ecu(vin, address, (ecu or Ecu()).ask)


def text_of(description: Description) -> object:
    return description.fault(P0420).get("fault_name")


async def test_the_ecu_at_the_address_that_the_file_says(tmp_path: Path) -> None:
    write_pdx(tmp_path / "engine.pdx", ENGINE, name="SomeName", address=0x10)
    write_pdx(tmp_path / "brakes.PDX", ECU_TYPES[0x28], address=0x28)
    made, ecu = read(tmp_path), Ecu()
    assert text_of(await described(made, ecu)) == "Catalyst system efficiency below threshold (bank 1)"
    assert ecu.asked == []
    assert (await described(made, address=0x28)).data(0x2210, b"\x00\x7b")["value"] == 12.3
    assert await described(made, address=0x18) is RAW


async def test_where_it_says_none_the_ecu_is_known_by_its_name(tmp_path: Path) -> None:
    write_pdx(tmp_path / "engine.pdx", ENGINE, name="Engine_Control")
    made = read(tmp_path)
    assert text_of(await described(made, Ecu({0xF197: b"ENGINE CONTROL\0"}))) is not None
    assert await described(made, Ecu({0xF197: b"BRAKES"})) is RAW
    assert await described(made, Ecu({0xF197: b" "})) is RAW
    assert await described(made, Ecu()) is RAW


async def test_the_variant_is_found_by_its_pattern(tmp_path: Path) -> None:
    variants = [("ECM_2023", "A0000001"), ("ECM_2024", "A2749004")]
    write_pdx(tmp_path / "engine.pdx", ENGINE, address=0x10, variants=variants)
    made = read(tmp_path)
    for part_number, variant in ((b"A2749004", "ECM_2024"), (b"A0000001", "ECM_2023"), (b"another", "ECM")):
        with capture_logs() as logs:
            assert text_of(await described(made, Ecu({0xF187: part_number}))) is not None
        assert [entry["variant"] for entry in logs if entry["event"] == "odx_variant"] == [variant]


@pytest.mark.parametrize("nonsense", [b"", b"\xff" * 40])
async def test_an_ecu_that_answers_nonsense_is_of_no_variant(tmp_path: Path, nonsense: bytes) -> None:
    write_pdx(tmp_path / "engine.pdx", ENGINE, address=0x10, variants=[("ECM_2024", "A2749004")])
    with capture_logs() as logs:
        await described(read(tmp_path), Ecu({0xF187: nonsense}))
    assert [entry["variant"] for entry in logs if entry["event"] == "odx_variant"] == ["ECM"]


async def test_of_two_files_for_the_same_ecu_the_one_whose_name_sorts_last_counts(tmp_path: Path) -> None:
    write_pdx(tmp_path / "engine-1.pdx", ENGINE, address=0x10, dtc_text="old {}")
    write_pdx(tmp_path / "engine-2.pdx", ENGINE, address=0x10, dtc_text="new {}")
    assert str(text_of(await described(read(tmp_path)))).startswith("new ")


async def test_what_could_be_either_of_two_is_neither(tmp_path: Path) -> None:
    write_pdx(tmp_path / "a.pdx", ENGINE, name="EngineA", address=0x10)
    write_pdx(tmp_path / "b.pdx", ENGINE, name="EngineB", address=0x10)
    with capture_logs() as logs:
        assert await described(read(tmp_path)) is RAW
    assert {"event": "odx_ambiguous", "variants": ["EngineB", "EngineA"], "log_level": "warning"} in logs


async def test_a_subfolder_serves_vehicles_whose_vin_begins_so(tmp_path: Path) -> None:
    (tmp_path / "WDD123").mkdir()
    write_pdx(tmp_path / "WDD123" / "engine.pdx", ENGINE, address=0x10)
    made = read(tmp_path)
    assert text_of(await described(made)) is not None
    assert await described(made, vin="WDD0987654321ZYXW") is RAW


def broken(path: Path, whole: bytes, how: str) -> None:
    with ZipFile(path, "w") as pdx:
        if how == "xml":
            pdx.writestr("ecu.odx-d", "<ODX MODEL-VERSION='2.2.0'><DIAG-LAYER-CONTAINER>")
        elif how == "types":
            pdx.writestr("ecu.odx-d", "<ODX MODEL-VERSION='two'><DIAG-LAYER-CONTAINER ID='X'/></ODX>")
        elif how == "reference":
            with ZipFile(path.with_name("whole.pdx")) as source:
                described = source.read("ecu.odx-d").decode()
            pdx.writestr("ecu.odx-d", described.replace('ID-REF="PR_', 'ID-REF="XX_'))
    if how == "zip":
        path.write_bytes(whole[: len(whole) // 2])
    elif how == "empty":
        path.write_bytes(b"")


@pytest.mark.parametrize("how", ["zip", "empty", "xml", "types", "reference", "nothing in it"])
async def test_a_broken_file_is_told_of_by_name_once_and_skipped(tmp_path: Path, how: str) -> None:
    whole = write_pdx(tmp_path / "whole.pdx", ENGINE, address=0x10)
    broken(tmp_path / "broken.pdx", whole.read_bytes(), how)
    with capture_logs() as logs:
        made = read(tmp_path)
        made.look()
    skipped = [entry for entry in logs if entry["event"] == "pdx_skipped"]
    assert [Path(entry["file"]).name for entry in skipped] == ["broken.pdx"]
    assert skipped[0]["reason"]
    assert text_of(await described(made)) is not None


async def test_files_are_parsed_once_per_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parsed: list[str] = []
    parse = library._parsed

    def counted(path: Path) -> library._PdxFile | None:
        parsed.append(path.name)
        return parse(path)

    monkeypatch.setattr(library, "_parsed", counted)
    first = write_pdx(tmp_path / "a.pdx", ENGINE, address=0x10)
    made = read(tmp_path)
    (tmp_path / "copy.pdx").write_bytes(first.read_bytes())
    first.touch()
    made.look()
    assert parsed == ["a.pdx"]
    write_pdx(first, ENGINE, address=0x10, dtc_text="changed {}")
    generation = made.generation
    made.look()
    assert parsed == ["a.pdx", "a.pdx"]
    assert made.generation > generation
    (tmp_path / "copy.pdx").unlink()
    made.look()
    assert str(text_of(await described(made))).startswith("changed")
    first.unlink()
    made.look()
    assert await described(made) is RAW


@pytest.mark.parametrize(("bits", "described_codes"), [(16, (0x042011, 0x042099)), (24, (0x000420,))])
async def test_a_code_of_two_bytes_stands_for_all_failure_types(
    tmp_path: Path, bits: int, described_codes: tuple[int, ...]
) -> None:
    faults = {replace(fault, code=fault.code >> 8): status for fault, status in ENGINE.faults.items()}
    write_pdx(tmp_path / "engine.pdx", replace(ENGINE, faults=faults), address=0x10, dtc_bits=bits)
    description = await described(read(tmp_path))
    codes = (0x042011, 0x042099, 0x000420, 0x123456)
    assert tuple(code for code in codes if description.fault(code)) == described_codes
    assert len({description.fault(code)["fault_name"] for code in described_codes}) == 1


def test_the_setting_names_what_is_wrong(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert check_odx_folder(tmp_path) == tmp_path
    with pytest.raises(ValueError, match="no directory"):
        check_odx_folder(tmp_path / "nothing")
    monkeypatch.setattr("vehicle_links.odx.find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"odxtools is not installed: pip install 'sovd-webapp\[odx\]'"):
        check_odx_folder(tmp_path)
