"""Settings every service has: read once from the environment (TUBEPOST_*), passed down frozen."""

import re
import socket
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from tubepost.errors import BadInput


def parse_listen(text: str) -> tuple[str, int]:
    """`HOST:PORT`, IPv6 as `[::1]:25`; port 0 = a free one. Raises BadInput."""
    host, colon, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not colon or not host or not port.isdecimal() or int(port) > 65_535:
        raise BadInput(f"{text!r} is not HOST:PORT")
    return host, int(port)


def _listen(text: str) -> str:
    try:
        parse_listen(text)
    except BadInput as error:
        raise ValueError(str(error)) from error
    return text


Listen = Annotated[str, AfterValidator(_listen)]


class CommonSettings(BaseSettings):
    """Of all services. A secret may stand in a file: NAME_FILE instead of NAME."""

    model_config = SettingsConfigDict(env_prefix="TUBEPOST_", frozen=True, extra="ignore")

    nats_url: str = Field("nats://127.0.0.1:4222", description="Servers, with commas between.")
    nats_user: str = Field("", description="User of this service on the bus.")
    nats_password: SecretStr = Field(SecretStr(""), description="Its password.")
    nats_password_file: Path | None = Field(None, description="File that holds it.")
    shards: int = Field(2, ge=1, le=64, description="Shards of the queue; the same everywhere.")
    hostname: str = Field(
        default_factory=socket.gethostname, description="Used until the control `me` is set."
    )
    admin_listen: Listen = Field(
        "127.0.0.1:8025", description="HOST:PORT of health, metrics and /v1."
    )
    token: SecretStr = Field(SecretStr(""), description="Bearer token for /v1; empty = closed.")
    token_file: Path | None = Field(None, description="File that holds it.")
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="debug, info, warning or error."
    )
    durability: Literal["fsync", "quorum", "unverified"] = Field(
        "unverified", description="What the bus promises with an acknowledgement; shown, not made."
    )
    drain: float = Field(30.0, ge=0, description="Seconds for running work to end on SIGTERM.")
    ready_fd: int | None = Field(None, description="Open descriptor that gets the ready line.")

    def secret(self, name: str) -> str:
        """The secret `name` ("token", "nats_password"), from its file if one is set."""
        file: Path | None = getattr(self, name + "_file")
        value: SecretStr = getattr(self, name)
        return file.read_text().strip() if file else value.get_secret_value()

    def shown(self) -> dict[str, Any]:
        """For the log: secrets are left out."""
        values = self.model_dump(mode="json", exclude={"nats_password", "token", "ready_fd"})
        return {**values, "nats_url": re.sub(r"//[^/@]*@", "//...@", self.nats_url)}


class TlsSettings(CommonSettings):
    """Of the services that are servers of TLS."""

    tls_cert: Path | None = Field(None, description="Certificate chain, PEM.")
    tls_key: Path | None = Field(None, description="Its private key, PEM.")
    tls_folder: Path | None = Field(
        None,
        description="Certificates of more names: DOMAIN.crt and .key, or DOMAIN/tls.crt and .key.",
    )
    tls_old_clients: bool = Field(
        False, description="TLS 1.0 and 1.1, and their weak ciphers, too; for all listeners."
    )


class DnsSettings(CommonSettings):
    """Of the services that ask name servers."""

    nameservers: str = Field(
        "", description="DNS servers, IPs with commas between; empty = the system's."
    )
    nameserver_port: int = Field(53, ge=1, le=65_535, description="Their port.")
    dns_seconds: float = Field(
        20.0, gt=0, description="Seconds one DNS look-up may take, of which each server has 2."
    )

    @property
    def nameserver_ips(self) -> list[str]:
        return [s.strip() for s in self.nameservers.split(",") if s.strip()]
