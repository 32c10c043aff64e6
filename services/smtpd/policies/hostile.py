"""Policies against clients that attack or are broken: what no mail client that works does."""

from services.smtpd.facts import Client, DataFacts
from services.smtpd.refusal import Refusal

ERRORS = Refusal("errors", "421 too many errors, goodbye (#4.7.0)", True)
TARPIT = Refusal("tarpit", "421 too many errors or recipients, goodbye (#4.7.0)", True)
TIMEOUT = Refusal("timeout", "451 timeout (#4.4.2)", True)
NO_TLS = Refusal("tls_handshake", "", True)
BARE_LF = Refusal("bare_line_end", "451 See https://cr.yp.to/docs/smtplf.html.", True)


def early_talker(client: Client) -> Refusal | None:
    """A client waits for the greeting (RFC 5321 3.1, 4.3.1); who does not listens to nothing."""
    if client.talked_early:
        return Refusal("early_talker", "554 sorry, wait for my greeting (#5.5.1)", True)
    return None


def no_room(facts: DataFacts) -> Refusal | None:
    """All mails being read take more memory than they may: this one comes again."""
    if facts.no_room:
        return Refusal("memory", "452 no room to read this mail now, try again later (#4.3.1)")
    return None


def nul(facts: DataFacts) -> Refusal | None:
    """C programs behind us end a text at a NUL: they would see another mail than we do."""
    if facts.nul:
        return Refusal("nul", "554 sorry, a mail has no NUL octets (#5.6.0)")
    return None


def long_line(facts: DataFacts) -> Refusal | None:
    """RFC 5321 4.5.3.1.6 has 1000 octets; mail in use has more, so the setting does."""
    if facts.long_line:
        return Refusal("maxline", "554 sorry, that message has an overlong line (#5.6.0)")
    return None


def big_header(facts: DataFacts) -> Refusal | None:
    """Readers of mail keep a header in memory: a header of any size is an attack on them."""
    if facts.big_header:
        return Refusal("maxheader", "552 sorry, that message header is too big (#5.3.4)")
    return None
