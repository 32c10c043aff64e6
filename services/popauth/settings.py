"""What popauth reads from its environment."""

from pathlib import Path

from pydantic import Field

from tubepost.settings import Listen, TlsSettings


class Settings(TlsSettings):
    """TUBEPOST_POP3 and so on."""

    pop3: Listen = Field("127.0.0.1:2110", description="HOST:PORT for POP3.")
    pop3s: Listen | None = Field(None, description="HOST:PORT for POP3 over TLS.")
    mail_root: Path = Field(Path("data/mail"), description="Folder of the Maildirs.")
    relay_window: float = Field(
        10_800, ge=60, description="Seconds the relay stays open after a login."
    )
    hash_threads: int = Field(2, ge=1, description="Passwords checked at once.")
