"""What a policy says when it says no. Pure."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Refusal:
    """`reply` is the whole SMTP reply, `verdict` its name in logs and metrics.

    `hang_up`: the session ends with it.
    """

    verdict: str
    reply: str
    hang_up: bool = False
