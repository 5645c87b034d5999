"""The PDX files of a folder, each parsed once per content, and which of their variants an ECU is.

A file in a subfolder serves only vehicles whose VIN begins with the subfolder's name. The folder is looked through
again and again: files come, change and go while vehicles are connected.
"""

import asyncio
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from odxtools.database import Database
from odxtools.diaglayers.basevariant import BaseVariant
from odxtools.diaglayers.ecuvariant import EcuVariant
from odxtools.variantmatcher import VariantMatcher

from service_kit.logging import get_logger
from vehicle_links.doip.descriptions import RAW, Ask, Description
from vehicle_links.odx.description import EcuDescription, strictly

_log = get_logger(__name__)

_NAME_REQUEST = bytes.fromhex("22F197")
_NO_SUCH_SERVICE = bytes.fromhex("7F0011")

Variant = BaseVariant | EcuVariant


@dataclass(frozen=True, slots=True)
class _Described:
    """A variant of an ECU. `address`: its DoIP logical address where the file says it."""

    variant: Variant
    address: int | None

    @property
    def base(self) -> Variant:
        base = self.variant.base_variant if isinstance(self.variant, EcuVariant) else None
        return base or self.variant

    def is_called(self, name: str) -> bool:
        names = (self.variant.short_name, self.variant.long_name, self.base.short_name, self.base.long_name)
        return any(_plain(known) == _plain(name) for known in names if known)


@dataclass(frozen=True, slots=True)
class _PdxFile:
    """`database`: it owns the variants, which know each other only weakly."""

    database: Database
    variants: Sequence[_Described]


class OdxLibrary:
    """The Descriptions of vehicle_links.doip.descriptions."""

    def __init__(self, folder: Path, *, look_seconds: float = 30.0) -> None:
        self.generation = 0
        self._folder = folder
        self._look_seconds = look_seconds
        self._keeper: asyncio.Task[None] | None = None
        self._stats: dict[Path, tuple[int, int]] = {}
        self._digests: dict[Path, bytes] = {}
        # By digest of the content; None: it is broken.
        self._parsed: dict[bytes, _PdxFile | None] = {}
        self._files: dict[Path, _PdxFile] = {}

    def begin(self) -> None:
        if self._keeper is None or self._keeper.done():
            self._keeper = asyncio.create_task(self._keep_current(), name="odx")

    async def _keep_current(self) -> None:
        """Parsing takes seconds or minutes: beside the event loop, file by file, each usable as soon as it is read."""
        while True:
            await asyncio.to_thread(self.look)
            await asyncio.sleep(self._look_seconds)

    def look(self) -> None:
        found = {path: stat for path in sorted(self._folder.rglob("*.[pP][dD][xX]")) if (stat := _stat(path))}
        changed = [path for path, stat in found.items() if self._stats.get(path) != stat]
        gone = self._stats.keys() - found.keys()
        self._stats = found
        for path in gone:
            self._digests.pop(path, None)
        for path in changed:
            self._read(path)
        if gone:
            self._show()
        self._parsed = {digest: self._parsed[digest] for digest in self._digests.values()}

    async def of_ecu(self, vin: str, address: int, ask: Ask) -> Description:
        candidates = self._candidates(vin)
        here = [one for one in candidates if one.address == address]
        if not here and (unplaced := [one for one in candidates if one.address is None]):
            name = (await ask(_NAME_REQUEST))[3:].decode("ascii", "replace").strip("\0 ")
            here = [one for one in unplaced if name and one.is_called(name)]
        variant = await _chosen(here, ask) if here else None
        _log.info("odx_variant", vin=vin, ecu=f"0x{address:X}", variant=variant.short_name if variant else None)
        return RAW if variant is None else EcuDescription(variant)

    # --- inside

    def _read(self, path: Path) -> None:
        try:
            content = path.read_bytes()
        except OSError as error:
            _log.error("pdx_not_read", file=str(path), reason=str(error))
            self._stats.pop(path)
            return
        self._digests[path] = digest = sha256(content).digest()
        if digest not in self._parsed:
            self._parsed[digest] = _parsed(path)
        self._show()

    def _show(self) -> None:
        known = {path: self._parsed.get(digest) for path, digest in self._digests.items()}
        self._files = {path: file for path, file in known.items() if file is not None}
        self.generation += 1

    def _candidates(self, vin: str) -> list[_Described]:
        """Of the file whose name sorts last first: it counts where two describe the same."""
        serving = [path for path in self._files if path.parent == self._folder or vin.startswith(path.parent.name)]
        return [one for path in sorted(serving, reverse=True) for one in self._files[path].variants]


def _stat(path: Path) -> tuple[int, int] | None:
    try:
        stat = path.stat()
    except OSError:
        return None
    return stat.st_mtime_ns, stat.st_size


def _parsed(path: Path) -> _PdxFile | None:
    """Whatever is wrong with a file must not keep others from being read, and there is no end of what can be."""
    try:
        database = Database()
        database.add_pdx_file(path)
        database.refresh()
        variants = [_Described(variant, _address_of(variant)) for variant in _variants_of(database)]
        if not variants:
            raise ValueError("it describes no ECU")
    except Exception as error:
        _log.error("pdx_skipped", file=str(path), reason=f"{type(error).__name__}: {error}")
        return None
    _log.info("pdx_read", file=str(path), variants=[one.variant.short_name for one in variants])
    return _PdxFile(database, variants)


def _variants_of(database: Database) -> Iterable[Variant]:
    yield from database.ecu_variants
    yield from database.base_variants


def _address_of(variant: Variant) -> int | None:
    """By the communication parameter CP_DoIPLogicalEcuAddress (ISO 22901-1, ISO 13400-2)."""
    with strictly():
        return variant.get_doip_logical_ecu_address()


async def _chosen(candidates: Sequence[_Described], ask: Ask) -> Variant | None:
    """The ECU variant whose pattern the ECU matches; else the base variant that all of them have in common."""
    variants = [one.variant for one in candidates]
    for kind in (EcuVariant, BaseVariant):
        if (matching := await _matching([one for one in variants if isinstance(one, kind)], ask)) is not None:
            return matching
    plain = [one for one in variants if not _has_pattern(one)]
    bases = [one for one in plain if isinstance(one, BaseVariant)]
    if len({one.short_name for one in bases or plain}) > 1:
        _log.warning("odx_ambiguous", variants=[one.short_name for one in bases or plain])
        return None
    return next(iter(bases or plain), None)


def _has_pattern(variant: Variant) -> bool:
    if isinstance(variant, EcuVariant):
        return bool(variant.ecu_variant_patterns)
    return variant.base_variant_pattern is not None


async def _matching(variants: Sequence[Variant], ask: Ask) -> Variant | None:
    # Its cache does not take the requests that it makes itself.
    matcher = VariantMatcher([one for one in variants if _has_pattern(one)], use_cache=False)  # type: ignore[arg-type]
    requests = matcher.request_loop()
    answers: dict[bytes, bytes] = {}
    while (request := _next_request(requests)) is not None:
        if request not in answers:
            answers[request] = await ask(request) or _NO_SUCH_SERVICE
        matcher.evaluate(answers[request])
    return matcher.matching_variant


def _next_request(requests: Iterator[tuple[bool, bytes]]) -> bytes | None:
    """A pattern may refer to what is not there: then no variant is found."""
    try:
        with strictly():
            request = next(requests, None)
    except Exception as error:
        _log.warning("odx_pattern_failed", reason=f"{type(error).__name__}: {error}")
        return None
    return None if request is None else request[1]


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())
