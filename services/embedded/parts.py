"""The settings of each part: SQLite in the data directory, free ports on loopback, demo data."""

from pathlib import Path
from typing import Any

import command_service.settings
import gateway.settings
import vehicle_connector.settings
import vehicle_simulator.settings
from embedded.data_directory import DataDirectory
from embedded.settings import Settings
from service_kit.settings import ServiceSettings
from vehicle_links.settings import LinkSettings

LOOPBACK = "127.0.0.1"
BUILT_WEB = Path(__file__).parents[1] / "web" / "dist"
# Where adapters are given, nobody dials these.
NO_REDIS = "redis://in-memory/0"
NO_RABBITMQ = "amqp://in-memory/"


def command_service_settings(settings: Settings) -> command_service.settings.Settings:
    return command_service.settings.Settings(
        **_common(settings),
        database_url=DataDirectory(settings.data_dir).database_url("command_service"),
        redis_url=NO_REDIS,
        rabbitmq_url=NO_RABBITMQ,
        grpc_host=LOOPBACK,
        grpc_port=0,
        demo_data=True,
        preconditions_file=settings.preconditions_file,
    )


def vehicle_connector_settings(settings: Settings, command_service_port: int) -> vehicle_connector.settings.Settings:
    return vehicle_connector.settings.Settings(
        **_common(settings),
        rabbitmq_url=NO_RABBITMQ,
        command_service_address=f"{LOOPBACK}:{command_service_port}",
        session_host=LOOPBACK,
        session_port=0,
        health_port=0,
        vehicle_credential_secret=settings.vehicle_credential_secret,
        **settings.model_dump(include=LinkSettings.model_fields.keys() - ServiceSettings.model_fields.keys()),
    )


def gateway_settings(settings: Settings, command_service_port: int) -> gateway.settings.GatewaySettings:
    return gateway.settings.GatewaySettings(
        **_common(settings),
        database_url=DataDirectory(settings.data_dir).database_url("gateway"),
        redis_url="memory://",
        command_service_address=f"{LOOPBACK}:{command_service_port}",
        jwt_secret=settings.jwt_secret,
        http_host=settings.host,
        http_port=settings.port,
        web_directory=settings.web_directory or _built_web(),
        demo_data=True,
    )


def vehicle_simulator_settings(settings: Settings, connector_port: int) -> vehicle_simulator.settings.Settings:
    return vehicle_simulator.settings.Settings(
        **_common(settings),
        connector_address=f"{LOOPBACK}:{connector_port}",
        vehicle_credential_secret=settings.vehicle_credential_secret,
        vehicles=0,
        demo_data=True,
        driving_vehicles=settings.driving_vehicles,
        ledger_file=settings.data_dir / "vehicles.ledger",
    )


def _built_web() -> Path | None:
    return BUILT_WEB if (BUILT_WEB / "index.html").is_file() else None


def _common(settings: Settings) -> dict[str, Any]:
    return {
        # Variables that are meant for services elsewhere do not reach these.
        "_env_prefix": "SOVD_EMBEDDED_",
        "metrics_port": 0,
        "service_token": settings.service_token,
        "drain_seconds": settings.drain_seconds,
    }
