"""What every request can reach, typed; composition.py builds it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from starlette.requests import HTTPConnection

if TYPE_CHECKING:  # the parts are looked up here, not made: importing them would go round in circles
    import grpc.aio

    from gateway.audit_trail import AuditTrail
    from gateway.command_client import CommandClient
    from gateway.health import Health
    from gateway.live_updates import LiveUpdates
    from gateway.logins import Logins
    from gateway.own_profile import OwnProfile
    from gateway.rate_limits import RateLimits
    from gateway.session_guard import SessionGuard
    from gateway.settings import GatewaySettings
    from gateway.storage.repositories import Users
    from gateway.tokens import AccessTokens
    from gateway.user_accounts import UserAccounts
    from service_kit.lifecycle import Lifecycle
    from service_kit.live_events.port import LiveEvents
    from sovd_protos.audit.v1.audit_pb2_grpc import AuditServiceAsyncStub
    from sovd_protos.identity.v1.identity_pb2_grpc import IdentityServiceAsyncStub
    from sovd_protos.reports.v1.reports_pb2_grpc import ReportServiceAsyncStub
    from sovd_protos.vehicle.v1.vehicle_pb2_grpc import VehicleServiceAsyncStub


@dataclass(slots=True, kw_only=True)
class AppState:
    settings: GatewaySettings
    lifecycle: Lifecycle
    channel: grpc.aio.Channel
    live_events: LiveEvents
    vehicles: VehicleServiceAsyncStub
    identities: IdentityServiceAsyncStub
    audit_service: AuditServiceAsyncStub
    reports: ReportServiceAsyncStub
    command_client: CommandClient
    live_updates: LiveUpdates
    access_tokens: AccessTokens
    users: Users
    accounts: UserAccounts
    profile: OwnProfile
    logins: Logins
    sessions: SessionGuard
    rate_limits: RateLimits
    audit: AuditTrail
    health: Health


def app_state(connection: HTTPConnection) -> AppState:
    return cast("AppState", connection.app.state.gateway)
