"""Settings from the environment: read once, refused where they are wrong, secrets not shown."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from tubepost.errors import BadInput
from tubepost.settings import CommonSettings, parse_listen


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """No setting of whoever runs the tests."""
    for name in CommonSettings.model_fields:
        monkeypatch.delenv("TUBEPOST_" + name.upper(), raising=False)
    return monkeypatch


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("127.0.0.1:8025", ("127.0.0.1", 8025)),
        ("0.0.0.0:0", ("0.0.0.0", 0)),
        ("[::1]:25", ("::1", 25)),
        ("[::]:65535", ("::", 65_535)),
        ("localhost:25", ("localhost", 25)),
    ],
)
def test_listen(text: str, address: tuple[str, int]) -> None:
    assert parse_listen(text) == address


@pytest.mark.parametrize(
    "text", ["", "25", ":25", "host:", "host:x", "host:65536", "host:-1", "[]:25"]
)
def test_what_is_no_listen(text: str) -> None:
    with pytest.raises(BadInput):
        parse_listen(text)


def test_defaults_are_loopback_and_closed() -> None:
    settings = CommonSettings()
    assert settings.admin_listen == "127.0.0.1:8025"
    assert settings.nats_url == "nats://127.0.0.1:4222"
    assert settings.secret("token") == settings.secret("nats_password") == ""
    assert settings.hostname


def test_the_environment_is_read(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("TUBEPOST_SHARDS", "8")
    environment.setenv("TUBEPOST_ADMIN_LISTEN", "[::1]:0")
    environment.setenv("TUBEPOST_NO_SUCH_SETTING", "x")
    settings = CommonSettings()
    assert (settings.shards, settings.admin_listen) == (8, "[::1]:0")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("shards", "0"),
        ("shards", "65"),
        ("shards", "two"),
        ("admin_listen", "8025"),
        ("admin_listen", "host:99999"),
        ("durability", "always"),
        ("drain", "-1"),
        ("ready_fd", "x"),
        ("log_level", "loud"),
    ],
)
def test_a_bad_value_is_refused_by_name(
    environment: pytest.MonkeyPatch, name: str, value: str
) -> None:
    environment.setenv("TUBEPOST_" + name.upper(), value)
    with pytest.raises(ValidationError) as error:
        CommonSettings()
    assert [problem["loc"] for problem in error.value.errors()] == [(name,)]


def test_settings_are_frozen() -> None:
    settings = CommonSettings()
    with pytest.raises(ValidationError, match="frozen"):
        settings.shards = 3  # type: ignore[misc]


@pytest.mark.parametrize("name", ["token", "nats_password"])
def test_a_secret_in_a_file_wins(
    environment: pytest.MonkeyPatch, tmp_path: Path, name: str
) -> None:
    environment.setenv("TUBEPOST_" + name.upper(), "plain")
    assert CommonSettings().secret(name) == "plain"
    file = tmp_path / "secret"
    file.write_text("  from a file\n")
    environment.setenv(f"TUBEPOST_{name.upper()}_FILE", str(file))
    assert CommonSettings().secret(name) == "from a file"


def test_a_secret_file_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    settings = CommonSettings(token_file=tmp_path / "none")
    with pytest.raises(OSError, match="none"):
        settings.secret("token")


def test_what_is_shown_has_no_secret(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("TUBEPOST_TOKEN", "hush1")
    environment.setenv("TUBEPOST_NATS_PASSWORD", "hush2")
    settings = CommonSettings()
    assert "hush" not in f"{settings.shown()}{settings!r}"
    assert settings.shown()["shards"] == 2


def test_a_password_in_the_url_is_not_shown() -> None:
    settings = CommonSettings(nats_url="nats://smtpd:hush@nats:4222,nats://nats-2:4222")
    assert "hush" not in str(settings.shown())
