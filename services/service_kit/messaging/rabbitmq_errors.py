"""What the AMQP library raises, and what it means."""

import aiormq

# When a connection or a channel is refused, breaks, is closed under a call or does not answer.
CONNECTION_ERRORS = (aiormq.AMQPError, aiormq.ChannelInvalidStateError, OSError, RuntimeError, TimeoutError)


def reason_of(error: BaseException) -> str:
    """One line for a log or an error."""
    if isinstance(error, TimeoutError):
        return "no answer in time"
    said = " ".join(str(part) for part in error.args if part)
    return said if isinstance(error, CONNECTION_ERRORS) and said else f"{type(error).__name__} {said}".strip()
