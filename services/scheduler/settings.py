"""What scheduler reads from its environment."""

from pydantic import Field

from tubepost.settings import CommonSettings


class Settings(CommonSettings):
    """TUBEPOST_REPLICAS and so on."""

    replicas: int = Field(1, ge=1, le=5, description="Copies of each stream: 1, or 3 in a cluster.")
    relay_window: float = Field(
        10_800, ge=60, description="Seconds an entry of the relay list lives at most."
    )
    events_age: float = Field(
        604_800,
        ge=60,
        description="Seconds the life of a mail can be looked up (`tubepost trace`).",
    )
    events_bytes: int = Field(
        1 << 29, ge=1 << 20, description="Octets that events take at most; the oldest go first."
    )
