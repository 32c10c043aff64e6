"""What remote reads from its environment."""

from pathlib import Path

from pydantic import Field

from tubepost.settings import DnsSettings


class Settings(DnsSettings):
    """TUBEPOST_SLOTS and so on."""

    slots: int = Field(200, ge=1, description="Deliveries at once in this process.")
    source_address: str = Field("", description="IP to connect from; empty = the kernel's choice.")
    ca_file: Path | None = Field(
        None, description="Authorities trusted for other hosts, PEM; none = the system's."
    )
