"""What the settings of the command service refuse, and say."""

import pytest

from command_service.settings import Settings
from command_service.use_cases.limits import Limits
from service_kit.settings import EXIT_BAD_SETTINGS, load_settings


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
    for name, value in {
        "DATABASE_URL": "sqlite:///commands.db",
        "REDIS_URL": "redis://localhost",
        "RABBITMQ_URL": "amqp://localhost",
        "SERVICE_TOKEN": "s" * 16,
    }.items():
        monkeypatch.setenv(name, value)
    return monkeypatch


def test_no_deadline_passes_before_a_connector_has_handed_over_and_awaited(
    environment: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert load_settings(Settings).limits() == Limits()
    environment.setenv("DEADLINE_GRACE_SECONDS", "15.5")
    assert load_settings(Settings).limits().deadline_grace_seconds == 15.5
    environment.setenv("DEADLINE_GRACE_SECONDS", "9.5")
    with pytest.raises(SystemExit) as ended:
        load_settings(Settings)
    assert ended.value.code == EXIT_BAD_SETTINGS
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("DEADLINE_GRACE_SECONDS: ")
    assert line.endswith("; give seconds, 10 or more")
