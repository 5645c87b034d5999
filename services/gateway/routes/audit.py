"""The audit trail: who did what, and proof that nobody changed it since."""

from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Depends, Query, Request
from pydantic import Field
from starlette.responses import Response

from gateway.answers import answers, ask, json_answer
from gateway.api_types import ApiAnswer, ApiModel, Cursor, Limit, Moment, ShortText, rfc3339, to_microseconds
from gateway.app_state import app_state
from gateway.auth import CurrentUser, require_admin
from gateway.problem_details import problems
from sovd_protos.audit.v1 import audit_pb2 as pb

router = APIRouter(prefix="/api/v1/audit", tags=["audit"])

# The whole chain is read.
VERIFICATION_SECONDS = 60.0

ENTRY_EXAMPLE = {
    "entry_id": "0197f6a4-3b52-7cc1-9d7f-2a6a5f0e3b10",
    "at": "2026-01-31T12:00:00.000000Z",
    "action": "user.login",
    "outcome": "success",
    "actor_id": "8b0f0c62-8f0a-4f3c-9a52-0c1c7b1f5c11",
    "actor_name": "engineer",
    "subject_kind": "login_session",
    "subject_id": "5a0c1f0e-2f41-4a57-8d2e-6a1f0b7c9d3e",
    "details": {},
    "remote_address": "192.0.2.7",
    "chain_number": 42,
    "hash": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
}
VERIFICATION_EXAMPLE = {"intact": True, "sealed": 42, "unsealed": 1, "broken_at": None, "reason": None}


class AuditAnswer(ApiAnswer):
    entry_id: str
    at: str
    action: str
    outcome: str
    actor_id: str | None
    actor_name: str | None
    subject_kind: str | None
    subject_id: str | None
    details: dict[str, Any]
    remote_address: str | None
    chain_number: int | None = Field(description="Place in the chain; null until it is sealed.")
    hash: str | None


class AuditList(ApiAnswer):
    items: list[AuditAnswer]
    next_cursor: str | None


class Verification(ApiAnswer):
    intact: bool
    sealed: int = Field(description="Entries in the chain.")
    unsealed: int = Field(description="Entries that are not yet part of it.")
    broken_at: int | None = Field(description="First place in the chain that does not verify.")
    reason: str | None


class AuditQuery(ApiModel):
    action: ShortText | None = None
    actor_id: ShortText | None = None
    subject_id: ShortText | None = None
    from_: Annotated[Moment | None, Field(alias="from", description="At or after this time.")] = None
    to: Annotated[Moment | None, Field(description="Before this time.")] = None
    limit: Limit = 50
    cursor: Cursor = ""


@router.get("", responses=answers(AuditList, {"items": [ENTRY_EXAMPLE], "next_cursor": None}) | problems(403))
async def list_audit(
    request: Request, query: Annotated[AuditQuery, Query()], _: Annotated[CurrentUser, Depends(require_admin)]
) -> Response:
    """What happened, newest first (admin)."""
    wanted = pb.ListAuditRequest(
        action=query.action or "",
        actor_id=query.actor_id or "",
        subject_id=query.subject_id or "",
        from_us=to_microseconds(query.from_),
        to_us=to_microseconds(query.to),
        limit=query.limit,
        cursor=query.cursor,
    )
    found = await ask(app_state(request).audit_service.ListAudit(wanted))
    return json_answer({"items": [_entry(e) for e in found.entries], "next_cursor": found.next_cursor or None})


@router.get("/verification", responses=answers(Verification, VERIFICATION_EXAMPLE) | problems(403))
async def verify_audit(request: Request, _: Annotated[CurrentUser, Depends(require_admin)]) -> Response:
    """Check the chain of hashes from its beginning (admin)."""
    service = app_state(request).audit_service
    found = await ask(service.VerifyAudit(pb.VerifyAuditRequest(), timeout=VERIFICATION_SECONDS))
    return json_answer(
        {
            "intact": found.intact,
            "sealed": found.sealed,
            "unsealed": found.unsealed,
            "broken_at": found.broken_at or None,
            "reason": found.reason or None,
        }
    )


def _entry(entry: pb.AuditEntry) -> dict[str, Any]:
    return {
        "entry_id": entry.entry_id,
        "at": rfc3339(entry.at_us),
        "action": entry.action,
        "outcome": entry.outcome,
        "actor_id": entry.actor_id or None,
        "actor_name": entry.actor_name or None,
        "subject_kind": entry.subject_kind or None,
        "subject_id": entry.subject_id or None,
        "details": orjson.Fragment(entry.details_json or "{}"),
        "remote_address": entry.remote_address or None,
        "chain_number": entry.chain_number or None,
        "hash": entry.hash or None,
    }
