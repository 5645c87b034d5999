"""Many commands of the last hours, inserted as one bulk statement: for what has to stay fast however many there are."""

from tests.support.sql import execute_sql

_VEHICLES = """
INSERT INTO command_service.vehicles (vehicle_id, vin, make, model, year, link_kind, link_address, created_at, ecus,
  connection_status, connector_id, session_epoch, last_seen_at, search_text)
SELECT ('018c0000-0000-7000-8000-' || lpad(to_hex(n), 12, '0'))::uuid, 'HISTORY' || lpad(n::text, 10, '0'), 'Mercedes',
  'E-Class', 2024, 'session', '', now(), '[]', CASE WHEN n % 2 = 0 THEN 'online' ELSE 'offline' END,
  CASE WHEN n % 2 = 0 THEN 'c1' END, 1, now(), 'history'
FROM generate_series(1, {vehicles}) AS n
"""
# One in fifty failed, one in a thousand still waits; durations from 50 ms to 5 s.
_COMMANDS = """
INSERT INTO command_service.commands (
  command_id, vehicle_id, command_name, command_params, command_class, repeatable, lane, exclusive, priority, user_id,
  username, timeout_seconds, created_at, expires_at, traceparent, stream_duration_ms, status, attempt, revision,
  responses, results_recorded, dispatch_number, session_epoch, dispatched_at, started_at, completed_at,
  cancel_requested_by, cancel_outcome, error_code, error_message, nrc, progress_nrc)
SELECT ('018d0000-0000-7000-8000-' || lpad(to_hex(n), 12, '0'))::uuid,
  ('018c0000-0000-7000-8000-' || lpad(to_hex(n % {vehicles} + 1), 12, '0'))::uuid, 'ReadDTC',
  '{{"ecuAddress":"0x10"}}', 'read', true, n || ':10', false, 0, '018f0000-0000-7000-8000-0000000000aa', 'history', 30,
  t, t + interval '15 min', '', 0,
  CASE WHEN n % 1000 = 0 THEN 'pending' WHEN n % 50 = 0 THEN 'failed' ELSE 'completed' END, 1, 4, 3, 4, 1, 1, t, t,
  CASE WHEN n % 1000 <> 0 THEN t + (50 + n % 4950) * interval '1 millisecond' END, '', '', '', '', 0, 0
FROM generate_series(1, {commands}) AS n
CROSS JOIN LATERAL (
  SELECT now() - interval '6 seconds' - ({commands} - n) * interval '1 hour' * {hours} / {commands} AS t) AS times
"""


def insert_recent(database_url: str, commands: int, hours: float, vehicles: int = 1000) -> None:
    """So many commands, sent evenly over the last hours."""
    numbers = {"commands": commands, "hours": hours, "vehicles": vehicles}
    execute_sql(database_url, _VEHICLES.format(**numbers), _COMMANDS.format(**numbers))
    execute_sql(database_url, "VACUUM ANALYZE command_service.commands", "VACUUM ANALYZE command_service.vehicles")
