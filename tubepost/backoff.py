"""How long something that cannot be reached is left alone. Pure; the same for hosts and domains.

After PATIENCE failures without an answer between them it gets nothing for FIRST_WAIT seconds; then
one try, and each that fails doubles the wait (RMT-11: qmail's tcpto, made whole).
"""

from tubepost.retry import chance

PATIENCE = 2
"""Failures to connect, without an answer between them, after which it is backed off."""

FIRST_WAIT, LONGEST_WAIT = 60.0, 3600.0
"""Seconds a back-off lasts: the first one, and no other longer than that. Each doubles."""

MOST_LATE = 60.0
"""Seconds a destination comes behind its hosts, at most."""

SPREAD = 0.1
"""Share of a wait it may be shorter or longer: what failed together does not return together."""


def wait(name: str, doublings: int, longest: float = LONGEST_WAIT) -> float:
    """Seconds a back-off lasts, after that many tries that failed too."""
    spread = SPREAD * (2 * chance(f"{name} {doublings}") - 1)
    return float(min(FIRST_WAIT * 2 ** min(doublings, 16), longest) * (1 + spread))


def until_hosts_open(name: str, now: float, opens: float) -> float:
    """When to try `name` again, all of whose hosts are left alone until `opens` at least.

    A little later: what hangs on one host finds it tried by the first of them.
    """
    wait = max(1.0, opens - now)
    return now + wait + min(wait * SPREAD, MOST_LATE) * chance(name)
