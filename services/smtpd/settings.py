"""What smtpd reads from its environment."""

from pathlib import Path

from pydantic import Field

from tubepost.settings import DnsSettings, Listen


class Settings(DnsSettings):
    """TUBEPOST_SMTP and so on."""

    smtp: Listen = Field("127.0.0.1:2525", description="HOST:PORT for mail from other hosts.")
    submission: Listen | None = Field(
        None, description="HOST:PORT for mail from users: STARTTLS and AUTH required."
    )
    tls_cert: Path | None = Field(None, description="Certificate chain, PEM.")
    tls_key: Path | None = Field(None, description="Its private key, PEM.")
