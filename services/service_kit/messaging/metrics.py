"""What messaging counts, whichever adapter does the work."""

from prometheus_client import Counter

DEAD_LETTERS = Counter(
    "sovd_dead_letters",
    "Messages that this process rejected to the dead-letter queue, by the queue they came from.",
    ["queue"],
)
