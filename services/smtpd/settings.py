"""What smtpd reads from its environment."""

from pydantic import Field

from tubepost.settings import Listen, TlsSettings


class Settings(TlsSettings):
    """TUBEPOST_SMTP and so on."""

    smtp: Listen = Field("127.0.0.1:2525", description="HOST:PORT for mail from other hosts.")
    submission: Listen | None = Field(
        None, description="HOST:PORT for mail from users: STARTTLS and AUTH required."
    )
    data_memory: int = Field(
        268_435_456,
        ge=0,
        description="Octets of memory for mails being read, each counted twice; 0 = no limit.",
    )
