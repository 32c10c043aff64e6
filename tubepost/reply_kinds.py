"""In one word why a recipient did not get a mail. Pure.

An operator's rules are asked first, then what we know ourselves (no connection, DNS), then the
peer's words, then its enhanced status code, then its reply code: peers that mean quite different
things all say 550 5.7.1, and their words tell them apart. KINDS lists the words; docs/outcomes.md
is compared with it. Nothing that decides about a mail hangs on a kind but `suppress`.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from tubepost.errors import BadInput
from tubepost.outcome import Deferred, Delivered, Failed, Outcome
from tubepost.reply_phrases import PHRASES

KINDS: Mapping[str, str] = {
    "greylisted": "the host lets strangers wait, and takes the mail at a later try",
    "rate_limited": "too many mails or connections in a time",
    "too_many_recipients": "too many recipients in one mail",
    "mailbox_full": "no room in the mailbox",
    "unknown_user": "no such mailbox there",
    "disabled_user": "the mailbox is there and takes nothing: locked, suspended, closed",
    "no_such_domain": "the domain is not there, or takes no mail (null MX)",
    "sender_refused": "the sender's address or domain",
    "relay_denied": "the host does not take mail for that domain from us",
    "blocked": "our address: a block list, a bad reputation, a ban",
    "unauthenticated": "SPF, DKIM, DMARC or our host's reverse name",
    "virus": "malware in the mail",
    "spam": "the mail was judged unwanted",
    "policy": "another rule of the host's",
    "too_big": "the mail's size",
    "content": "the mail's form: header, attachments, characters",
    "loop": "the mail goes in circles",
    "auth": "our login at a relay, or that there was none",
    "tls": "TLS is wanted and is not there, or its handshake failed",
    "connection": "no host could be reached, or the connection broke",
    "in_doubt": "the connection broke after the whole mail was sent: the host may have it",
    "dns": "the name servers gave no answer",
    "settings": "a setting of ours: a relay without an address, a source address that is not here",
    "protocol": "the peer does not speak SMTP as it should",
    "server_trouble": "a fault on the other side: disk, load, maintenance",
    "suppressed": "not tried: the recipient was refused for good before (`suppress`)",
    "other": "none of these",
}
"""Every kind, and what the trouble is about."""

SUPPRESSED = "suppressed"
IN_DOUBT = "in_doubt"
"""RFC 1047, RMT-8. Told by who knows it: no reply and no code does."""

GONE = frozenset({"unknown_user", "disabled_user"})
"""Kinds that say that a recipient is not there, whatever the mail."""

LONGEST = 300
"""Characters of a reply that an operator's expression sees."""

MOST_RULES = 50
MOST_CHARACTERS = 200
MOST_REPEATS, MOST_GROUPS = 2, 2
"""Of an expression. The worst that is left takes some tenths of a second; see `_guarded`."""

_WORD = re.compile(r"[a-z][a-z_]{0,23}")
_CONTINUED = re.compile(r"/\d{3}[- ](?:[245]\.\d{1,3}\.\d{1,3} )?")
_MOST_WORDS = 600

_BY_STATUS: Mapping[str, str] = {
    "1.1": "unknown_user", "1.2": "no_such_domain", "1.3": "unknown_user", "1.6": "unknown_user",
    "1.7": "sender_refused", "1.8": "sender_refused", "1.10": "no_such_domain",
    "2.1": "disabled_user", "2.2": "mailbox_full", "2.3": "too_big",
    "3.4": "too_big", "3": "server_trouble", "2.0": "server_trouble",
    "4.1": "connection", "4.2": "connection", "4.3": "dns", "4.4": "no_such_domain",
    "4.5": "rate_limited", "4.6": "loop",
    "5.3": "too_many_recipients", "5": "protocol", "6": "content",
    "7.8": "auth", "7.9": "auth", "7.10": "tls", "7.11": "tls",
    "7.20": "unauthenticated", "7.21": "unauthenticated", "7.22": "unauthenticated",
    "7.23": "unauthenticated", "7.24": "unauthenticated", "7.25": "unauthenticated",
    "7.26": "unauthenticated", "7.27": "sender_refused", "7.28": "rate_limited", "7": "policy",
}  # fmt: skip
"""Subject and detail of RFC 3463 and its registry, or the subject alone for the rest of it."""

_BY_CODE: Mapping[str, str] = {
    "454": "tls", "521": "blocked", "530": "auth", "534": "auth", "535": "auth",
    "551": "relay_denied", "556": "no_such_domain",
}  # fmt: skip
"""Codes with one meaning (RFC 3207, 4954, 5321, 7504)."""

_BY_VAGUE_CODE: Mapping[str, str] = {
    "421": "server_trouble", "431": "server_trouble", "451": "server_trouble",
    "452": "server_trouble", "500": "protocol", "501": "protocol", "502": "protocol",
    "503": "protocol", "504": "protocol", "552": "mailbox_full",
}  # fmt: skip

_BY_PHASE: Mapping[str, str] = {
    "connect": "connection", "starttls": "tls", "tls handshake": "tls", "auth": "auth",
}  # fmt: skip

_BY_OUR_STATUS: Mapping[str, str] = {
    "4.3.5": "settings", "4.7.4": "tls", "4.7.5": "tls", "4.7.8": "auth", "4.7.10": "tls",
    "4.7.11": "tls",
}  # fmt: skip
"""What we say ourselves of a session that could not begin, or not as the settings demand it."""

_OF_RECIPIENTS = GONE | {"no_such_domain", "mailbox_full"}


@dataclass(frozen=True, slots=True)
class Rule:
    """An operator's line of `replykinds`."""

    kind: str
    expression: re.Pattern[str]


Rules = Sequence[Rule]


def kind_of(outcome: Deferred | Failed, rules: Rules = ()) -> str:
    """Its kind; `rules` come first, in their order."""
    said = (outcome.reply or outcome.text)[:LONGEST]
    for rule in rules:
        if rule.expression.search(said):
            return rule.kind
    kind = _known(outcome) or _said(outcome)
    # What a host says of a mailbox at MAIL is about the sender's.
    return "sender_refused" if outcome.phase == "mail" and kind in _OF_RECIPIENTS else kind


def named(outcomes: Mapping[str, Outcome], rules: Rules = ()) -> Mapping[str, Outcome]:
    """The outcomes, each with its kind; one that has one keeps it. What was delivered has none."""
    for outcome in outcomes.values():
        if not isinstance(outcome, Delivered) and not outcome.kind:
            break
    else:
        return outcomes  # most mails are delivered
    known: dict[int, Outcome] = {}
    for outcome in outcomes.values():
        if id(outcome) not in known:
            known[id(outcome)] = _with_kind(outcome, rules)
    return {recipient: known[id(outcome)] for recipient, outcome in outcomes.items()}


def _with_kind(outcome: Outcome, rules: Rules) -> Outcome:
    if isinstance(outcome, Delivered) or outcome.kind:
        return outcome
    return replace(outcome, kind=kind_of(outcome, rules))


def _known(outcome: Deferred | Failed) -> str:
    """What needs no peer's words: there was no peer, or its words are not what stopped us."""
    no_connection = isinstance(outcome, Deferred) and outcome.no_connection
    if outcome.reply and not no_connection:
        return ""
    if kind := _BY_OUR_STATUS.get(outcome.status):
        return kind
    if outcome.reply:
        return ""
    if no_connection:
        return "connection"
    if outcome.phase == "dns" and isinstance(outcome, Deferred):
        return "dns"
    return _BY_PHASE.get(outcome.phase, "")


def _said(outcome: Deferred | Failed) -> str:
    """By the peer's words, then its codes."""
    words = _words(outcome.reply)
    for phrase, kind in PHRASES:
        if phrase in words:
            return kind
    status, code = outcome.status.partition(".")[2], outcome.reply[:3]
    return (
        _BY_PHASE.get(outcome.phase)
        or _BY_STATUS.get(status)
        or _BY_CODE.get(code)
        or _BY_STATUS.get(status.partition(".")[0])
        or _BY_VAGUE_CODE.get(code)
        or "other"
    )


def _words(reply: str) -> str:
    """A reply as PHRASES sees it: lines joined, lower case, no addresses (one may be spam@...)."""
    text = _CONTINUED.sub(" ", reply[:_MOST_WORDS]).lower()
    return " ".join(word for word in text.split() if "@" not in word)


# --- an operator's rules


def parse(lines: Sequence[str]) -> tuple[Rule, ...]:
    """`kind:expression` lines. Case does not matter to an expression. Raises BadInput."""
    rules = tuple(_rule(line.strip()) for line in lines if line.strip())
    if len(rules) > MOST_RULES:
        raise BadInput(f"give at most {MOST_RULES} lines")
    return rules


def _rule(line: str) -> Rule:
    kind, colon, expression = line.partition(":")
    if not colon or not expression or not _WORD.fullmatch(kind):
        raise BadInput(f"{line!r}: write kind:expression, the kind in small letters and _")
    if len(expression) > MOST_CHARACTERS:
        raise BadInput(f"{kind}: an expression has at most {MOST_CHARACTERS} characters")
    _guarded(expression)
    try:
        return Rule(kind, re.compile(expression, re.IGNORECASE))
    except re.error as error:
        raise BadInput(f"{expression!r} is not a regular expression: {error}") from error


_PIECES = re.compile(r"\\.|\[\^?\]?(?:\\.|[^]\\])*\]|[*+?{]|\(\?:|\(\??|.", re.DOTALL)


def _guarded(expression: str) -> None:
    """Raises BadInput for what may take for ever on a reply that a stranger chose.

    Python's search tries every way to share the text out among the repeats: a repeat of a group
    makes them exponentially many, each further repeat of a character LONGEST times as many.
    """
    repeats = groups = 0
    before = ""
    for piece in _PIECES.findall(expression):
        if piece == "(?" or (piece[0] == "\\" and piece[1:].isdigit() and piece != "\\0"):
            raise BadInput(f"{expression!r}: of groups only ( and (?: may be used, and no \\1")
        groups += piece in ("(", "(?:")
        if piece in ("*", "+", "?", "{"):
            if before == ")":
                raise BadInput(f"{expression!r}: a group may not be repeated")
            repeats += before not in ("*", "+", "?", "}")  # .*? is one
        before = piece
    if repeats > MOST_REPEATS or groups > MOST_GROUPS:
        raise BadInput(
            f"{expression!r}: use * + ? and {{}} at most {MOST_REPEATS} times, "
            f"groups {MOST_GROUPS} times; several lines may have the same kind"
        )
