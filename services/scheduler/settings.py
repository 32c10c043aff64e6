"""What scheduler reads from its environment."""

from pydantic import Field

from tubepost.settings import CommonSettings


class Settings(CommonSettings):
    """TUBEPOST_REPLICAS and so on."""

    replicas: int = Field(1, ge=1, le=5, description="Copies of each stream: 1, or 3 in a cluster.")
    relay_window: float = Field(
        10_800, ge=60, description="Seconds an entry of the relay list lives at most."
    )
    collect_every: float = Field(
        3600, ge=1, description="Seconds between two looks for bodies without a record."
    )
    orphan_age: float = Field(
        129_600, ge=3600, description="Seconds such a body is kept after it was stored."
    )
    events_age: float = Field(
        604_800,
        ge=60,
        description="Seconds the life of a mail can be looked up (`tubepost trace`).",
    )
    events_bytes: int = Field(
        1 << 29, ge=1 << 20, description="Octets that events take at most; the oldest go first."
    )
