"""How much memory the mails that are being read may take, all sessions of a process together. Pure.

Without it a thousand clients that send large mails at once take a thousand times `databytes`.
"""

from dataclasses import dataclass

COPIES = 2
"""So often a mail is in memory at its worst: as read and as body, or as body and with its trace."""

FREE = 64 * 1024
"""Octets of a mail that are not counted: a session's buffers take more."""


@dataclass(slots=True)
class Budget:
    """`limit` octets, 0 = any number. `used`: what is counted now."""

    limit: int = 0
    used: int = 0

    def share(self) -> "Share":
        """The part of one mail; nothing yet."""
        return Share(self)


@dataclass(slots=True)
class Share:
    """What one mail takes. Who has it releases it, however the mail ends."""

    budget: Budget
    octets: int = 0

    def hold(self, size: int) -> bool:
        """Counts a mail of `size` octets. False: there is no room, nothing is counted for it."""
        wanted = COPIES * size if size > FREE else 0
        others = self.budget.used - self.octets
        fits = not wanted or not self.budget.limit or others + wanted <= self.budget.limit
        self.octets = wanted if fits else 0
        self.budget.used = others + self.octets
        return fits

    def release(self) -> None:
        """The mail is no longer in memory."""
        self.hold(0)
