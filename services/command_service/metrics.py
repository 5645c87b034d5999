"""The command service's metrics."""

from prometheus_client import Counter, Histogram

from command_service.domain.catalogue import CATALOGUE
from command_service.domain.command import Status
from service_kit.metrics import BATCH_SIZE_BUCKETS, CALL_DURATION_BUCKETS, COMMAND_DURATION_BUCKETS, QUEUE_WAIT_BUCKETS

COMMANDS_ACCEPTED = Counter("sovd_commands_accepted", "Commands accepted.", ["command_name"])
COMMANDS_REJECTED = Counter("sovd_commands_rejected", "Submissions rejected, by error code.", ["code"])
COMMANDS = Counter("sovd_commands", "Commands ended, by name and terminal status.", ["command_name", "outcome"])
COMMAND_DURATION = Histogram(
    "sovd_command_duration_seconds",
    "From acceptance to the terminal status.",
    ["command_name"],
    buckets=COMMAND_DURATION_BUCKETS,
)
QUEUE_WAIT = Histogram(
    "sovd_command_queue_wait_seconds", "From acceptance to the hand-over of the attempt.", buckets=QUEUE_WAIT_BUCKETS
)
DISPATCH = Histogram(
    "sovd_command_dispatch_seconds",
    "From the dispatch, when lane and vehicle are free, to the hand-over of the attempt.",
    buckets=CALL_DURATION_BUCKETS,
)
OVERDUE = Counter(
    "sovd_commands_overdue", "Commands that ended more than a minute after their time-out or expiry.", ["command_name"]
)
DISPATCH_RETRIES = Counter(
    "sovd_dispatch_retries", "Commands that went back to the queue after a dispatch or an attempt.", ["command_name"]
)
UNPUBLISHED = Counter("sovd_unpublished_dispatches", "Dispatches that the broker did not take.", ["reason"])
LATE_RESULTS = Counter("sovd_late_results", "Results kept as evidence, because they came too late.")
LIVE_EVENTS_DROPPED = Counter("sovd_live_events_dropped", "Live events that were not published; viewers re-read.")
RECOVERED = Counter("sovd_recovered_commands", "Commands that the watchdog changed, by what it looked for.", ["look"])
# Series that begin with 0: to Prometheus, from nothing to 1 is no increase.
for _name in CATALOGUE:
    DISPATCH_RETRIES.labels(_name)
    OVERDUE.labels(_name)
    COMMANDS_ACCEPTED.labels(_name)
    for _status in Status:
        if _status.terminal:
            COMMANDS.labels(_name, _status.value)
for _reason in ("unroutable", "unconfirmed"):
    UNPUBLISHED.labels(_reason)

BATCH_SIZE = Histogram("sovd_batch_size", "Items per flush.", ["batch"], buckets=BATCH_SIZE_BUCKETS)
