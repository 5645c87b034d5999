"""Users that are there from the start: the first administrator and, where asked for, the demo's."""

import uuid
from datetime import UTC, datetime

from gateway.audit_trail import audit_entry
from gateway.passwords import Passwords
from gateway.settings import GatewaySettings
from gateway.storage.repositories import User, Users
from gateway.tokens import Role
from service_kit.logging import get_logger

log = get_logger(__name__)

DEMO_USERS: tuple[tuple[str, str, str, Role], ...] = (
    ("admin", "admin123", "Demo Administrator", "admin"),
    ("engineer", "engineer123", "Demo Engineer", "engineer"),
)


async def create_first_users(settings: GatewaySettings, users: Users, passwords: Passwords) -> None:
    """Safe to repeat, and for several replicas at once: whoever comes second finds the name taken."""
    if settings.initial_admin_password is not None and not await users.any_exist():
        password = settings.initial_admin_password.get_secret_value()
        await _create(users, passwords, "admin", password, "Administrator", "admin")
    if settings.demo_data:
        for username, password, full_name, role in DEMO_USERS:
            if await users.find(username) is None:
                await _create(users, passwords, username, password, full_name, role)


async def _create(users: Users, passwords: Passwords, username: str, password: str, full_name: str, role: Role) -> None:
    user = User(str(uuid.uuid4()), username, f"{username}@example.com", full_name, role, is_active=True)
    entry = audit_entry(
        "user.created", "success", actor_name="system", subject=("user", user.user_id), username=username
    )
    if await users.create(user, await passwords.hash(password), datetime.now(UTC), entry):
        log.info("user_created", username=username, role=role)
