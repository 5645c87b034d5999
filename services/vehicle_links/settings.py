"""Settings of whoever dials vehicles: the connector, and an agent beside a vehicle."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field, SecretStr, model_validator

from service_kit.settings import ServiceSettings
from vehicle_links.dialled import Dialler
from vehicle_links.doip.descriptions import Descriptions
from vehicle_links.doip.link import DoipDialler
from vehicle_links.doip.security import load_function
from vehicle_links.odx import check_odx_folder
from vehicle_links.sovd.link import SovdDialler, SovdRules


def _check_function(name: str) -> str:
    if name:
        load_function(name)
    return name


def _check_level(level: int) -> int:
    if level % 2 == 0:
        raise ValueError("the level that requests a seed is odd (ISO 14229-1, 10.4)")
    return level


Function = Annotated[str, AfterValidator(_check_function), Field(description="module:function, or empty")]


class LinkSettings(ServiceSettings):
    """How vehicles are spoken to over DoIP and SOVD."""

    # Our logical address as a DoIP tester, 3584 to 4095 (ISO 13400-2 Table 13); a vehicle's address may say another.
    doip_source_address: int = Field(default=0x0E00, ge=0x0E00, le=0x0FFF, description="3584 to 4095")
    # How ECUs are unlocked (0x27, 0x29): see doip/security.py.
    doip_seed_key: Function = ""
    doip_security_level: Annotated[int, AfterValidator(_check_level)] = Field(
        default=1, ge=1, le=0x41, description="odd, 1 to 65"
    )
    doip_authentication: Function = ""
    # Folder of PDX files that name and convert what ECUs say over DoIP (extra `odx`); empty: it stays raw.
    odx_path: Annotated[Path | None, AfterValidator(check_odx_folder)] = None

    # Vehicles with a SOVD server of their own. Whom to trust instead of the system's certificate authorities:
    sovd_ca_file: Path | None = None
    # What such vehicles get to see: a client certificate, a bearer token (over TLS or loopback only).
    sovd_cert_file: Path | None = None
    sovd_key_file: Path | None = None
    sovd_bearer_token: SecretStr = SecretStr("")
    # A component is locked while it is changed; a lock that nobody renews ends after so long.
    sovd_lock_seconds: int = Field(default=30, ge=3, le=3600, description="seconds, 3 to 3600")
    # The diagnostic session that components are put into before they are changed; empty: their server knows best.
    sovd_session_mode: str = ""

    @model_validator(mode="after")
    def _sovd_certificate_has_its_key(self) -> "LinkSettings":
        if (self.sovd_cert_file is None) != (self.sovd_key_file is None):
            raise ValueError("SOVD_CERT_FILE, SOVD_KEY_FILE: give both or neither")
        return self


def doip_dialler(settings: LinkSettings) -> Dialler:
    return DoipDialler(
        settings.doip_source_address,
        level=settings.doip_security_level,
        seed_key=load_function(settings.doip_seed_key) if settings.doip_seed_key else None,
        authenticate=load_function(settings.doip_authentication) if settings.doip_authentication else None,
        descriptions=None if settings.odx_path is None else _odx_library(settings.odx_path),
    )


def _odx_library(folder: Path) -> Descriptions:
    # Not before it is needed: it takes memory, and its library may not be installed.
    from vehicle_links.odx.library import OdxLibrary

    return OdxLibrary(folder)


def sovd_dialler(settings: LinkSettings) -> Dialler:
    """Raises OSError when a certificate cannot be read."""
    rules = SovdRules(
        ca_file=settings.sovd_ca_file,
        cert_file=settings.sovd_cert_file,
        key_file=settings.sovd_key_file,
        bearer_token=settings.sovd_bearer_token.get_secret_value(),
        lock_seconds=settings.sovd_lock_seconds,
        session_mode=settings.sovd_session_mode,
    )
    return SovdDialler(rules)


DIALLERS: Mapping[str, Callable[[LinkSettings], Dialler]] = {"doip": doip_dialler, "sovd": sovd_dialler}
"""By the kind of link, as vehicles are registered with it."""
