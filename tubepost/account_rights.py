"""What an account may not do: its own flags, and those its domain has for all of them. Pure."""

from tubepost.directory_values import (
    HOLD,
    LOCKED,
    MUST_CHANGE,
    NO_POP,
    NO_RELAY,
    NO_SMTP,
    Account,
    Domain,
)

OF_DOMAINS = frozenset({NO_POP, NO_SMTP, NO_RELAY})
"""Flags that a domain may have for all its accounts (VADM-4)."""

POP3 = (LOCKED, MUST_CHANGE, NO_POP)
SMTP = (LOCKED, MUST_CHANGE, NO_SMTP)
"""Flags that keep somebody out, whatever the password; the first that is set is the reason."""

TEXTS = {
    LOCKED: "this account is locked",
    MUST_CHANGE: "the password has to be changed first",
    NO_POP: "this account may not use POP3",
    NO_SMTP: "this account may not use AUTH",
    NO_RELAY: "a login of this account does not open the relay",
    HOLD: "mail for this account waits",
}


def flags_in_force(account: Account, domain: Domain | None) -> frozenset[str]:
    """`domain`: the account's own, as the directory has it now."""
    more = domain.limits.flags if domain else frozenset()
    return account.flags | more if more else account.flags


def kept_out(flags: frozenset[str], by: tuple[str, ...]) -> str:
    """The flag of `by`, POP3 or SMTP, that keeps somebody out; "" = none does."""
    return next((flag for flag in by if flag in flags), "") if flags else ""
