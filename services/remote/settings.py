"""What remote reads from its environment."""

from pydantic import Field

from tubepost.settings import CommonSettings


class Settings(CommonSettings):
    """TUBEPOST_SLOTS and so on."""

    slots: int = Field(200, ge=1, description="Deliveries at once in this process.")
    nameservers: str = Field(
        "", description="DNS servers, IPs with commas between; empty = the system's."
    )
    nameserver_port: int = Field(53, ge=1, le=65_535, description="Their port.")
    dns_seconds: float = Field(20.0, gt=0, description="Seconds one DNS look-up may take.")
    source_address: str = Field("", description="IP to connect from; empty = the kernel's choice.")
