"""The gateway's metrics."""

from prometheus_client import Counter, Gauge, Histogram

from service_kit.metrics import CALL_DURATION_BUCKETS

HTTP_REQUESTS = Counter("sovd_http_requests", "Requests answered, by route and status.", ["method", "route", "status"])
HTTP_DURATION = Histogram(
    "sovd_http_request_duration_seconds",
    "From the request's arrival to the end of its answer.",
    ["method", "route"],
    buckets=CALL_DURATION_BUCKETS,
)
WEBSOCKETS_OPEN = Gauge("sovd_websockets_open", "WebSockets open now.")
WEBSOCKET_EVENTS = Counter("sovd_websocket_events", "Messages sent to WebSockets.")
LOGINS = Counter("sovd_logins", "Log-ins tried, by outcome.", ["outcome"])
for _outcome in ("success", "failure"):  # they begin with 0: to Prometheus, from nothing to 1 is no increase
    LOGINS.labels(_outcome)
RATE_LIMITED = Counter("sovd_rate_limited_requests", "Requests refused by a rate limit, by limit.", ["limit"])
AUDIT_PENDING = Gauge("sovd_audit_pending", "Audit entries in memory that are not yet in the outbox.")
AUDIT_DROPPED = Counter("sovd_audit_dropped", "Audit entries lost because the database was away for too long.")
