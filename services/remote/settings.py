"""What remote reads from its environment."""

from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field

from tubepost import source_ips
from tubepost.errors import BadInput
from tubepost.settings import DnsSettings


def _source_address(text: str) -> str:
    try:
        source_ips.parse(text.split(","))
    except BadInput as error:
        raise ValueError(str(error)) from error
    return text


class Settings(DnsSettings):
    """TUBEPOST_SLOTS and so on."""

    slots: int = Field(200, ge=1, description="Deliveries at once in this process.")
    source_address: Annotated[str, AfterValidator(_source_address)] = Field(
        "",
        description="IPs of this process to connect from: one IPv4, one IPv6, or both with a comma "
        "between; empty = the control `outgoingip`.",
    )
    mx_port: int = Field(
        25, ge=1, le=65_535, description="Port of other hosts; 25 but for rehearsals."
    )
    ca_file: Path | None = Field(
        None, description="Authorities trusted for other hosts, PEM; none = the system's."
    )

    @property
    def source_ips(self) -> source_ips.SourceIps:
        return source_ips.parse(self.source_address.split(","))
