"""The whole system in the process of the test, and what a start says."""

import asyncio
import os
import socket
from pathlib import Path

import httpx
import pytest
from pydantic import SecretStr

from embedded import __main__ as program
from embedded import parts
from embedded.composition import compose
from embedded.settings import Settings


def settings(directory: Path) -> Settings:
    return Settings(
        host="127.0.0.1",
        port=0,
        data_dir=directory,
        service_token=SecretStr("s" * 16),
        jwt_secret=SecretStr("j" * 32),
        vehicle_credential_secret=SecretStr("v" * 16),
    )


async def test_it_is_ready_with_its_vehicles_online_and_stops(tmp_path: Path) -> None:
    async with compose(settings(tmp_path)) as system, httpx.AsyncClient() as http:
        url = f"http://127.0.0.1:{system.port}"
        health = (await http.get(f"{url}/health/ready")).json()
        assert health.pop("timestamp")
        assert health == {
            "status": "healthy",
            "database": "connected",
            "redis": "connected",
            "command_service": "connected",
        }
        login = await http.post(f"{url}/api/v1/auth/login", json={"username": "admin", "password": "admin123"})
        bearer = {"Authorization": f"Bearer {login.json()['access_token']}"}
        online = (await http.get(f"{url}/api/v1/vehicles?status=online", headers=bearer)).json()["items"]
        assert [vehicle["vin"] for vehicle in online] == ["WDD0987654321ZYXW", "WDD1234567890ABCD"]
    assert set(os.listdir(tmp_path)) >= {"gateway.db", "command_service.db", "vehicles.ledger"}


def test_what_is_set_for_links_and_preconditions_reaches_who_needs_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOIP_SEED_KEY", "math:sqrt")
    monkeypatch.setenv("SOVD_BEARER_TOKEN", "a token")
    monkeypatch.setenv("ODX_PATH", str(tmp_path))
    mine = tmp_path / "mine.json"
    mine.write_text('{"vehicles": []}')
    monkeypatch.setenv("PRECONDITIONS_FILE", str(mine))
    given = settings(tmp_path)
    connector = parts.vehicle_connector_settings(given, 1)
    assert (connector.doip_seed_key, connector.odx_path) == ("math:sqrt", tmp_path)
    assert connector.sovd_bearer_token.get_secret_value() == "a token"
    assert parts.command_service_settings(given).preconditions_file == mine


@pytest.mark.parametrize("chosen", [True, False])
async def test_it_serves_the_web_interface(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chosen: bool) -> None:
    web = tmp_path / "dist"
    web.mkdir()
    (web / "index.html").write_text("<title>the web interface</title>")
    if chosen:
        monkeypatch.setenv("WEB_DIRECTORY", str(web))
    else:
        monkeypatch.setattr(parts, "BUILT_WEB", web)
    async with compose(settings(tmp_path / "data")) as system, httpx.AsyncClient() as http:
        page = await http.get(f"http://127.0.0.1:{system.port}/vehicles")
        assert page.text == "<title>the web interface</title>"


async def test_without_a_built_web_interface_there_is_the_api(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "BUILT_WEB", tmp_path)
    async with compose(settings(tmp_path / "data")) as system, httpx.AsyncClient() as http:
        assert (await http.get(f"http://127.0.0.1:{system.port}/vehicles")).status_code == 404


async def test_variables_that_are_meant_for_servers_do_not_reach_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {
        "DATABASE_URL": "postgresql://h/d",
        "METRICS_PORT": "1",
        "VEHICLES": "9",
        "GRPC_PORT": "1",
    }.items():
        monkeypatch.setenv(name, value)
    async with compose(settings(tmp_path)) as system:
        assert system.ready
    assert "gateway.db" in os.listdir(tmp_path)


async def test_a_start_that_takes_too_long_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def never_ends(_: Settings) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr("embedded.composition._migrate", never_ends)
    monkeypatch.setattr("embedded.composition.START_SECONDS", 0.01)
    with pytest.raises(OSError, match="the start took more than"):
        async with compose(settings(tmp_path)):
            pass


def test_a_port_that_is_taken() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(OSError, match=f"cannot listen on 127.0.0.1 port {port}: Address already in use"):
            program._check_free("127.0.0.1", port)
    program._check_free("127.0.0.1", port)


def test_a_damaged_database_is_one_line_before_anything_starts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOG_LEVEL", "WARNING")
    (tmp_path / "command_service.db").write_bytes(b"no database" * 100)
    with pytest.raises(SystemExit) as stopped:
        program.main("127.0.0.1", 0, tmp_path)
    assert str(stopped.value.code).startswith(
        f"sovd: {tmp_path}/command_service.db is damaged (file is not a database)"
    )


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("::1", "http://[::1]:9"),
        ("fd00::1", "http://[fd00::1]:9"),
        ("::", "http://localhost:9"),
        ("0.0.0.0", "http://localhost:9"),
        ("192.0.2.1", "http://192.0.2.1:9"),
    ],
)
def test_the_greeting_has_an_address_that_can_be_opened(tmp_path: Path, host: str, address: str) -> None:
    greeting = program._greeting(settings(tmp_path).model_copy(update={"host": host}), 9)
    assert f"sovd is running at {address}  " in greeting
    assert f"login --url {address} --username" in greeting


def test_the_greeting_says_what_to_type_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["/usr/bin/python"])
    greeting = program._greeting(settings(tmp_path), 8000)
    assert "http://localhost:8000" in greeting
    assert "engineer / engineer123" in greeting
    assert "\n  sovd login --username engineer\n" in greeting
    assert "--url http://localhost:9" in program._greeting(settings(tmp_path), 9)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", [str(tmp_path / ".venv/bin/sovd")])
    monkeypatch.setattr("shutil.which", lambda name: None)
    assert "\n  .venv/bin/sovd login" in program._greeting(settings(tmp_path), 8000)
