"""What messaging counts, whichever adapter does the work."""

from prometheus_client import Counter

_DEAD_LETTERS = Counter(
    "sovd_dead_letters",
    "Messages that this process rejected to the dead-letter queue, by the kind of queue they came from.",
    ["queue"],
)


def dead_letters_of(queue: str) -> Counter:
    """Queues come and go with who consumes them: `connector.4711` counts as `connector`."""
    return _DEAD_LETTERS.labels(queue.partition(".")[0])
