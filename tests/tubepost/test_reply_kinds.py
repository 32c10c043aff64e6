"""Which kind of trouble an outcome is: what mail hosts say, what we know, what an operator says."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tubepost import reply_kinds
from tubepost.errors import BadInput
from tubepost.outcome import Deferred, Delivered, Failed, Outcome, status_of
from tubepost.reply_kinds import KINDS, kind_of, named, parse
from tubepost.reply_phrases import PHRASES

IP = "198.51.100.7"


def _samples() -> list[tuple[str, str]]:
    """(kind, reply), from replies.txt."""
    found, kind = [], ""
    for line in (Path(__file__).parent / "replies.txt").read_text().splitlines():
        if line.startswith("["):
            kind = line.strip("[]")
        elif line and not line.startswith("#"):
            found.append((kind, line))
    return found


SAMPLES = _samples()
UNHEARD = {"connection", "dns", "in_doubt", "settings", "suppressed"}
"""Kinds that no peer's words make: what they are about is on our side."""


def outcome_of(reply: str, phase: str = "rcpt") -> Deferred | Failed:
    code = int(reply[:3])
    made = Failed if code >= 500 else Deferred
    text = f"192.0.2.1 does not like recipient./Remote host said: {reply}"
    return made(text=text, status=status_of(reply, code), peer=IP, reply=reply, phase=phase)


@pytest.mark.parametrize(("kind", "reply"), SAMPLES)
def test_what_hosts_say(kind: str, reply: str) -> None:
    assert kind_of(outcome_of(reply)) == kind


def test_there_are_samples_of_every_kind() -> None:
    assert {kind for kind, _ in SAMPLES} | UNHEARD == set(KINDS)
    assert len(SAMPLES) > 100


def test_every_phrase_is_of_a_known_kind_and_can_be_found() -> None:
    assert {kind for _, kind in PHRASES} <= set(KINDS)
    assert [phrase for phrase, _ in PHRASES if phrase != phrase.lower() or "@" in phrase] == []
    shadowed = {
        phrase
        for n, (phrase, kind) in enumerate(PHRASES)
        if any(earlier in phrase and other != kind for earlier, other in PHRASES[:n])
    }
    assert shadowed == set()


@pytest.mark.parametrize(
    ("kind", "outcome"),
    [
        ("dns", Deferred(text="MX lookup of x failed temporarily", status="4.4.3", phase="dns")),
        ("settings", Deferred(text="no address of the relay", status="4.3.5", phase="dns")),
        ("tls", Deferred(text="no TLS there", status="4.7.4", no_connection=True, phase="connect")),
        ("tls", Deferred(text="no TLS there", status="4.7.4", no_connection=True, phase="connect",
                         reply="502 what?")),
        ("no_such_domain", Failed(text="no host named x", status="5.1.2", phase="dns")),
        ("no_such_domain", Failed(text="its MX record is null", status="5.1.10", phase="dns")),
        ("no_such_domain", Failed(text="no mail exchanger", status="5.4.4", phase="dns")),
        ("loop", Failed(text="best-preference MX", status="5.4.6", phase="dns")),
        ("connection", Deferred(text="wasn't able", status="4.4.1", no_connection=True)),
        ("connection", Deferred(text="connection died", status="4.4.2", phase="mail")),
        ("protocol", Deferred(text="made no sense", status="4.5.0", phase="rcpt")),
        ("auth", Deferred(text="no AUTH offered", status="4.7.8", phase="auth")),
        ("tls", Deferred(text="no certificate", status="4.7.5", phase="tls handshake")),
        ("too_big", Failed(text="greater than it takes", status="5.3.4", phase="mail")),
        ("content", Failed(text="no SMTPUTF8 there", status="5.6.7", phase="mail")),
        ("unknown_user", Failed(text="Sorry, no mailbox here by that name. (#5.1.1)",
                                status="5.1.1")),
        ("server_trouble", Deferred(text="The mail root is not there.", status="4.3.0")),
        ("other", Deferred(text="hm")),
    ],
)  # fmt: skip
def test_what_we_say_ourselves(kind: str, outcome: Deferred | Failed) -> None:
    assert kind_of(outcome) == kind


@pytest.mark.parametrize(
    ("kind", "reply"),
    [
        ("blocked", "554 5.7.1 198.51.100.7 has a poor reputation"),
        ("rate_limited", "421 4.7.0 too many connections from 198.51.100.7"),
        ("server_trouble", "421 busy"),
    ],
)
def test_a_greeting_that_is_no_welcome_has_its_host_s_kind(kind: str, reply: str) -> None:
    text = f"Connected to 192.0.2.1 but greeting failed./Remote host said: {reply}"
    greeting = Deferred(text=text, status="4.4.2", reply=reply, no_connection=True, phase="connect")
    assert kind_of(greeting) == ("connection" if reply == "421 busy" else kind)


def test_at_mail_a_mailbox_is_the_sender_s() -> None:
    reply = "550 5.1.1 User unknown"
    assert kind_of(outcome_of(reply, "rcpt")) == "unknown_user"
    assert kind_of(outcome_of(reply, "mail")) == "sender_refused"


def test_what_an_address_is_called_says_nothing() -> None:
    assert kind_of(outcome_of("550 5.0.0 <greylist.spam@virus.example>: no")) == "other"


def test_an_operator_s_rules_come_first_and_in_order() -> None:
    rules = parse(["hold: needs approval", "spam:^550 5\\.7\\.1", "policy:^550"])
    assert kind_of(outcome_of("550 5.7.1 User unknown"), rules) == "spam"
    assert kind_of(outcome_of("550 5.1.1 User unknown"), rules) == "policy"
    assert kind_of(outcome_of("450 It Needs Approval"), rules) == "hold"
    assert kind_of(outcome_of("450 greylisted"), rules) == "greylisted"


def test_an_operator_s_rule_sees_our_sentence_where_no_peer_spoke() -> None:
    [*rules] = parse(["maintenance:203\\.0\\.113\\.9: timed out"])
    silent = Deferred(text="Sorry, ... (#4.4.1)/203.0.113.9: timed out", no_connection=True)
    assert kind_of(silent, rules) == "maintenance"


@pytest.mark.parametrize(
    "expression",
    [
        "plain", "^550 5\\.7\\.\\d+", "(over|above) (quota|limit)", ".*a.*b", "a{2,3}b?", "[*+?]",
        "\\(\\*\\+\\?", "[^]*]+", "a.*?b", "(?:one|two)", "a\\{2", "a:b",
    ],
)  # fmt: skip
def test_an_expression_that_is_taken(expression: str) -> None:
    [rule] = parse([f"mine:{expression}"])
    assert (rule.kind, rule.expression.pattern) == ("mine", expression)


@pytest.mark.parametrize(
    "line",
    [
        "spam", "spam:", ":x", "Spam:x", "a b:x", "x1:x", "spam:[", "spam:(", "spam:a**", "spam:\\",
        "spam:" + "x" * 201,
        "spam:(a+)+", "spam:(a*)*b", "spam:(a|a)*", "spam:(?:a|b){5}", "spam:(a)?",
        "spam:a*a*a*b", "spam:a?b?c?", "spam:a+b*c{2}", "spam:(a)(b)(c)",
        "spam:(a)\\1", "spam:(?P<n>a)(?P=n)", "spam:(?=a)", "spam:(?!a)", "spam:(?i)a",
    ],
)  # fmt: skip
def test_an_expression_that_is_refused(line: str) -> None:
    with pytest.raises(BadInput):
        parse([line])


def test_fifty_rules_and_no_more() -> None:
    assert len(parse(["", *(["spam:x"] * 50), " "])) == 50
    with pytest.raises(BadInput):
        parse(["spam:x"] * 51)


@given(st.text(max_size=40))
def test_any_line_is_a_rule_or_refused(line: str) -> None:
    try:
        parse([line])
    except BadInput:
        return


REPLIES = st.text() | st.builds("{} {}".format, st.integers(400, 599), st.text())


@given(REPLIES, st.sampled_from(["", "dns", "connect", "mail", "rcpt", "x"]), st.booleans(),
       st.sampled_from(["4.0.0", "5.1.1", "5", "", "5.", "x.y.z", "5.7.1.2"]))  # fmt: skip
def test_whatever_is_said_has_a_known_kind(reply: str, phase: str, hard: bool, status: str) -> None:
    made = Failed if hard else Deferred
    assert kind_of(made(text=reply, status=status, reply=reply, phase=phase)) in KINDS


def test_only_what_was_not_delivered_gets_a_kind() -> None:
    done = {"a": Delivered(text="ok"), "b": Delivered(text="ok")}
    assert named(done) is done
    full = outcome_of("452 4.2.2 mailbox full")
    known: Outcome = Failed(text="no", kind="suppressed")
    mixed = named({"a": done["a"], "b": full, "c": full, "d": known})
    assert mixed["a"] is done["a"]
    assert mixed["d"] is known
    assert mixed["b"] is mixed["c"]
    assert isinstance(mixed["b"], Deferred)
    assert mixed["b"].kind == "mailbox_full"


def test_a_kind_is_given_by_the_rules_in_force() -> None:
    outcomes = named({"a": outcome_of("550 no")}, parse(["mine:no"]))
    assert [getattr(o, "kind", "") for o in outcomes.values()] == ["mine"]


def test_those_who_are_gone_are_kinds() -> None:
    assert set(KINDS) > reply_kinds.GONE
    assert reply_kinds.SUPPRESSED in KINDS
