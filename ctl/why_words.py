"""What a verdict of `tubepost why` is, and the words its sentences are made of. Pure."""

import re
from dataclasses import dataclass

from ctl.why_facts import HostSeen


@dataclass(frozen=True, slots=True)
class Verdict:
    """`goes`: whether a mail for this target would go, now or at its time, with nothing done.
    `reason`: in one word, for programs."""

    goes: bool
    reason: str
    sentence: str


def no(reason: str, sentence: str) -> Verdict:
    return Verdict(False, reason, sentence)


def mails(number: int, domain: str) -> str:
    """With its verb."""
    return f"1 mail for {domain} is" if number == 1 else f"{number} mails for {domain} are"


def number_of(hosts: int) -> str:
    return "The only host" if hosts == 1 else f"All {hosts} hosts"


def times(attempts: int) -> str:
    return "1 attempt" if attempts == 1 else f"{attempts} attempts"


def called(host: HostSeen) -> str:
    return host.ip if host.name == host.ip else f"{host.name} ({host.ip})"


def short(text: str, most: int = 200) -> str:
    """Without its code in brackets and its full stop: it stands inside a sentence."""
    text = re.sub(r"\s*\(#\d\.\d+\.\d+\)", "", text).strip().rstrip(".")
    return text if len(text) <= most else text[:most] + "..."
