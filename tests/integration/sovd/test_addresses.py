"""Who is at a vehicle's address: no server, nobody, or another vehicle."""

from typing import Any

import pytest

from tests.integration.sovd.bench import VIN, linked
from tests.integration.sovd.fake_server import ECM, Reply, fake_server
from vehicle_links.dialled import Unreachable

DATA = f"{ECM}/data"


@pytest.mark.parametrize(
    "components", [Reply(401), Reply(500), Reply(200, b"<html>"), Reply(raw=b"\x00" * 50), {"no": "items"}]
)
async def test_what_is_no_server_is_not_reached(components: Any) -> None:
    async with fake_server({("GET", "/components"): components}) as server:
        with pytest.raises(Unreachable):
            async with linked(server.address):
                pass


@pytest.mark.parametrize(
    "address", ["192.0.2.1", "ftp://192.0.2.1", "http://", "http://a/?x", "http://[", "http://a:b"]
)
async def test_an_address_that_is_none_is_told(address: str) -> None:
    with pytest.raises(Unreachable, match="http://host:port"):
        async with linked(address):
            pass


async def test_nobody_at_the_address_is_told() -> None:
    with pytest.raises(Unreachable):
        async with linked("http://127.0.0.1:1"):
            pass


async def test_another_vehicle_at_the_address_is_not_taken_for_this_one() -> None:
    answers = {
        ("GET", DATA): {"items": [{"id": "vin", "did": "F190"}]},
        ("GET", f"{DATA}/vin"): {"id": "vin", "data": {"vin": VIN}},
    }
    async with fake_server(answers) as server:
        async with linked(server.address):
            pass
        with pytest.raises(Unreachable, match=VIN):
            async with linked(server.address, vin="WDD0987654321ZYXW"):
                pass
