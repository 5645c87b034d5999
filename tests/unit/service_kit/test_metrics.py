import socket
import urllib.request

import pytest
from prometheus_client import Counter

from service_kit.metrics import (
    BATCH_SIZE_BUCKETS,
    CALL_DURATION_BUCKETS,
    COMMAND_DURATION_BUCKETS,
    QUEUE_WAIT_BUCKETS,
    start_metrics_server,
)

_SEEN = Counter("sovd_test_things", "Things that this test saw.")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_serves_the_registry_until_closed() -> None:
    _SEEN.inc()
    port = free_port()
    server = start_metrics_server(port, "127.0.0.1")
    assert server is not None
    with urllib.request.urlopen(f"http://127.0.0.1:{server.port}/metrics") as answer:
        assert b"sovd_test_things_total 1.0" in answer.read()
    server.close()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port))


def test_port_0_is_off() -> None:
    assert start_metrics_server(0) is None


def test_a_taken_port_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(OSError, match=f"METRICS_PORT {port}: Address already in use"):
            start_metrics_server(port, "127.0.0.1")


@pytest.mark.parametrize(
    "buckets", [COMMAND_DURATION_BUCKETS, QUEUE_WAIT_BUCKETS, CALL_DURATION_BUCKETS, BATCH_SIZE_BUCKETS]
)
def test_buckets_rise(buckets: tuple[float, ...]) -> None:
    assert list(buckets) == sorted(set(buckets))
