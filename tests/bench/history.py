"""A long past: commands that ended, with their responses, inserted as one bulk statement each."""

from tests.support.sql import execute_sql

_RESPONSES_EACH = 3
_PER_STATEMENT = 500_000

_COMMANDS = """
INSERT INTO command_service.commands (
  command_id, vehicle_id, command_name, command_params, command_class, repeatable, lane, exclusive, priority, user_id,
  username, timeout_seconds, created_at, expires_at, traceparent, stream_duration_ms, status, attempt, revision,
  responses, results_recorded, dispatch_number, session_epoch, dispatched_at, started_at, completed_at,
  cancel_requested_by, cancel_outcome, error_code, error_message, nrc, progress_nrc)
SELECT {identifier}, v.vehicle_id, 'ReadDTC', '{{"ecuAddress":"0x10"}}', 'read', true, v.vehicle_id || ':10', false, 0,
  '018f0000-0000-7000-8000-0000000000aa', 'history', 30, t, t + interval '15 min', '', 0, 'completed', 1, 4, 3, 4, 1, 1,
  t, t, t, '', '', '', '', 0, 0
FROM generate_series({first}, {last}) AS n
JOIN (SELECT vehicle_id, row_number() OVER () AS place, count(*) OVER () AS many FROM command_service.vehicles) AS v
  ON v.place = n % v.many + 1
CROSS JOIN LATERAL (SELECT now() - interval '400 days' + n * interval '1 second' AS t) AS times
"""
_RESPONSES = """
INSERT INTO command_service.responses (command_id, sequence_number, attempt, body, received_at)
SELECT {identifier}, k, 1, '{{"ecuAddress":"0x10","code":"0x042011","padding":"' || repeat('x', 240) || '"}}',
  now() - interval '400 days' + n * interval '1 second'
FROM generate_series({first}, {last}) AS n CROSS JOIN generate_series(1, 3) AS k
"""
# A UUIDv7 by its form, old by its time and unique by n.
_IDENTIFIER = "('018b0000-0000-7000-8000-' || lpad(to_hex(n), 12, '0'))::uuid"


def insert_history(database_url: str, responses: int) -> None:
    """At least so many stored responses, of completed commands."""
    commands = -(-responses // _RESPONSES_EACH)
    for first in range(1, commands + 1, _PER_STATEMENT):
        last = min(first + _PER_STATEMENT - 1, commands)
        for statement in (_COMMANDS, _RESPONSES):
            execute_sql(database_url, statement.format(identifier=_IDENTIFIER, first=first, last=last))
    execute_sql(database_url, "VACUUM ANALYZE command_service.commands", "VACUUM ANALYZE command_service.responses")
