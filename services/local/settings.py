"""What local reads from its environment."""

from pathlib import Path

from pydantic import Field

from tubepost.settings import CommonSettings


class Settings(CommonSettings):
    """TUBEPOST_MAIL_ROOT and so on."""

    mail_root: Path = Field(Path("data/mail"), description="Folder of the Maildirs; must exist.")
    mail_root_mounted: bool = Field(
        False, description="Defer while the mail root is no mount point: its volume is not there."
    )
    slots: int = Field(100, ge=1, description="Deliveries at once in this process.")
