"""A mail transaction: what the client has said from MAIL on (RFC 5321 3.3). Pure."""

from dataclasses import dataclass, field

from services.smtpd.commands import Path
from tubepost.record import Envelope, Wish


@dataclass(slots=True)
class Transaction:
    """`relay_user`: who opened the relay for one of the recipients. `size`: declared, 0 = not."""

    sender: str
    ret: str = ""
    envid: str = ""
    recipients: list[str] = field(default_factory=list)
    wishes: dict[str, Wish] = field(default_factory=dict)
    relay_user: str = ""
    size: int = 0
    smtputf8: bool = False

    def add(self, path: Path) -> None:
        """A recipient that was accepted."""
        self.recipients.append(path.address)
        if path.parameters:
            given = path.parameters.get
            self.wishes[path.address] = Wish(given("NOTIFY", ""), given("ORCPT", ""))

    @property
    def envelope(self) -> Envelope:
        return Envelope(
            self.sender,
            tuple(self.recipients),
            self.wishes,
            ret=self.ret,
            envid=self.envid,
            smtputf8=self.smtputf8,
        )
