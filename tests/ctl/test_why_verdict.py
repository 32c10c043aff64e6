"""Why a mail does not go: a situation a row, and the sentence that an operator reads."""

import pytest

from ctl.why_facts import Facts, First, HostSeen, Said
from ctl.why_verdict import verdict

NOW = 1_700_000_000.0
FAR = "far.example"
ANN = "ann@far.example"
ID = "001a"
GREETS = HostSeen(name="mx.far.example", ip="192.0.2.1", greeted=True, connected=True)
SILENT = HostSeen(
    name="mx.far.example", ip="192.0.2.1", timed_out=True, error="192.0.2.1: timed out"
)
REFUSING = HostSeen(name="b.far.example", ip="192.0.2.2", error="192.0.2.2: connection refused")


def facts(**more: object) -> Facts:
    """A remote domain whose host greets us, and nothing in the queue."""
    whole = {
        "target": ANN, "domain": FAR, "now": NOW, "slots": 20, "limit": 20, "window": 5,
        "hosts": (GREETS,), **more,
    }  # fmt: skip
    return Facts(**whole)  # type: ignore[arg-type]


def ours(**more: object) -> Facts:
    whole = {"target": "joe@example.org", "domain": "example.org", "local": True, "mailbox": True}
    return facts(**{**whole, "hosts": (), **more})


def stands(where: str, units: int = 1, **first: str) -> dict[str, object]:
    return {"stands": {where: units}, "firsts": {where: First(id=ID, **first)}}


def no_hosts(outcome: str, status: str, text: str) -> dict[str, object]:
    return {"hosts": (), "no_hosts": Said(outcome=outcome, text=text, status=status)}


def greeting(reply: str, **more: object) -> dict[str, object]:
    text = "Connected to 192.0.2.1 but greeting failed."
    host = HostSeen(name="192.0.2.1", ip="192.0.2.1", connected=True, error=text, reply=reply)
    return {"hosts": (host,), **more}


def unfit(error: str) -> dict[str, object]:
    host = HostSeen(name="192.0.2.1", ip="192.0.2.1", connected=True, error=error)
    return {"hosts": (host,), "tls_level": "verify"}


def rcpt(reply: str, status: str = "", kind: str = "") -> dict[str, object]:
    outcome = "failure" if reply.startswith("5") else "deferral"
    said = Said(outcome=outcome, text=reply, status=status, kind=kind, reply=reply)
    host = HostSeen(name="mx.far.example", ip="192.0.2.1", greeted=True, connected=True, rcpt=said)
    return {"hosts": (host,)}


DUE = {**stands("waiting"), "next_try": NOW + 360, "attempts": 1}

WILL_NOT = [
    ("popauth away", facts(away={"popauth": "no answer"}), "popauth_away",
     "popauth does not answer (no answer): nobody can say which domains are ours"),
    ("scheduler away", facts(away={"scheduler": "shard 0 of the queue has no scheduler now"}),
     "scheduler_away", "scheduler does not answer (shard 0 of the queue has no scheduler now): no"),
    ("remote away", facts(away={"remote": "no answer"}), "remote_away",
     "remote does not answer (no answer): nothing goes to other hosts until it does"),
    ("no mailbox", ours(mailbox=False), "mailbox",
     ("example.org is ours and has no mailbox joe@example.org: mail for it is refused; to make one"
     ": tubepost account add joe@example.org")),
    ("on hold", ours(rule="on hold", stopped="This mailbox is on hold. (#4.2.1)"), "stopped",
     "joe@example.org takes no mail now (rule 'on hold'): This mailbox is on hold. (#4.2.1)"),
    ("mail gone", facts(mail_id=ID, gone=True), "not_in_queue", "Mail 001a is not, or no longer,"),
    ("held", facts(**stands("held", by="kim", why="spam?")), "held",
     "1 mail for far.example is held by kim (spam?); to let it go: tubepost queue release 001a"),
    ("held by nobody known", facts(**stands("held", 3)), "held",
     "3 mails for far.example are held by an operator; to let it go"),
    ("parked", facts(**stands("parked", reply="body lost. (#4.3.0)")), "parked",
     "1 mail for far.example is set aside by Tubepost (body lost); to try again: tubepost queue r"),
    ("everything paused", facts(pauses={"all": "kim: repairs"}), "paused",
     "All mail is paused by kim: repairs; to go on: tubepost queue resume all"),
    ("remote paused", facts(pauses={"remote": "kim"}), "paused",
     "Remote mail is paused by kim; to go on: tubepost queue resume remote"),
    ("destination paused", facts(pauses={FAR: ""}), "paused",
     "far.example is paused; to go on: tubepost queue resume far.example"),
    ("local paused", ours(pauses={"local": "kim"}), "paused", "Local mail is paused by kim"),
    ("concurrencyremote 0", facts(slots=0), "no_slots",
     "concurrencyremote is 0, which holds all remote mail; to let it go: tubepost control set con"),
    ("concurrencylocal 0", ours(slots=0), "no_slots", "concurrencylocal is 0"),
    ("suppressed", facts(suppressed="550 5.1.1 no such user"), "suppressed",
     "ann@far.example was refused for good not long ago (550 5.1.1 no such user), so a mail"),
    ("null MX", facts(**no_hosts("failure", "5.1.10", "null")), "null_mx",
     "far.example takes no mail at all, its MX record is null: a mail for it bounces."),
    ("NXDOMAIN", facts(**no_hosts("failure", "5.1.2", "none")), "no_domain",
     "There is no far.example in DNS, so a mail for it bounces; look at the spelling."),
    ("no address", facts(**no_hosts("failure", "5.4.4", "none")), "no_address",
     "far.example has neither a mail host nor an address in DNS"),
    ("loop guard", facts(**no_hosts("failure", "5.4.6", "me")), "loop",
     "DNS leads the mail of far.example back to this host, and far.example is none of our domains"),
    ("another failure", facts(**no_hosts("failure", "5.0.0", "So sad. (#5.0.0)")), "no_host",
     "A mail for far.example bounces: So sad"),
    ("relay missing", facts(**no_hosts("deferral", "4.3.5", "no address of r.example")), "relay",
     "smtproutes sends far.example to a relay that cannot be used (no address of r.example); look"),
    ("DNS soft", facts(**no_hosts("deferral", "4.4.3", "MX lookup failed (timed out). (#4.4.3)")),
     "dns", "DNS gives no answer for far.example now (MX lookup failed (timed out)), so its mail"),
    ("all time out", facts(hosts=(SILENT, SILENT)), "silent",
     "All 2 hosts of far.example did not answer on port 25: they are down, or your network blocks"),
    ("one times out", facts(hosts=(SILENT,)), "silent", "The only host of far.example did not ans"),
    ("all refuse", facts(hosts=(REFUSING, REFUSING)), "refused",
     "All 2 hosts of far.example refused the connection, no mail server runs there now"),
    ("some time out, some refuse", facts(hosts=(SILENT, REFUSING)), "no_connection",
     "None of the hosts of far.example could be spoken to (192.0.2.1: timed out; 192.0.2.2: conn"),
    ("greeting refused", facts(**greeting("554 5.7.1 listed")), "greeting",
     "192.0.2.1 does not want to talk to us (554 5.7.1 listed): its mail waits"),
    ("login refused", facts(**greeting("535 5.7.8 no", login=True)), "login",
     "192.0.2.1 refuses our login (535 5.7.8 no); mend the user or the password"),
    ("TLS missing", facts(**unfit("STARTTLS is not offered")), "tls",
     "The TLS policy for far.example is verify, and no host of it fulfils that (STARTTLS is not o"),
    ("a wrong certificate", facts(**unfit("the certificate is for x.example")), "tls",
     "The TLS policy for far.example is verify, and no host of it fulfils that (the certificate"),
    ("hosts skipped", facts(hosts=(HostSeen(name="m", ip="192.0.2.1", greeted=True,
     skipped="refused until 12:00"),)), "host_skipped",
     "Deliveries pass over every host of far.example for now (refused until 12:00), but it answer"),
    ("unknown user", facts(**rcpt("550 5.1.1 who?", "5.1.1")), "unknown_user",
     "mx.far.example (192.0.2.1) knows nobody called ann@far.example (550 5.1.1 who?): a mail for"),
    ("RCPT refused", facts(**rcpt("554 5.7.1 no", "5.7.1")), "failure",
     "mx.far.example (192.0.2.1) refuses ann@far.example (554 5.7.1 no): a mail for it bounces."),
    ("greylisted by its words", facts(**rcpt("451 4.7.1 Greylisted", "4.7.1")), "greylisted",
     "mx.far.example (192.0.2.1) greylists us (451 4.7.1 Greylisted): it takes the mail at a late"),
    ("greylisted by its kind", facts(**rcpt("451 soon", "4.0.0", "greylisted")), "greylisted",
     "mx.far.example (192.0.2.1) greylists us (451 soon)"),
    ("mailbox full", facts(**rcpt("452 4.2.2 over quota", "4.2.2")), "mailbox_full",
     "The mailbox of ann@far.example is full, says mx.far.example (192.0.2.1) (452 4.2.2 over quo"),
    ("too much", facts(**rcpt("450 slow down", "4.7.0", "rate_limited")), "rate_limited",
     "mx.far.example (192.0.2.1) finds that we send too much (450 slow down)"),
    ("closed", facts(**rcpt("550 gone", "5.2.1", "disabled_user")), "disabled_user", "The mailbox"),
    ("blocked", facts(**rcpt("550 see lists.example", "5.7.1", "blocked")), "blocked",
     "mx.far.example (192.0.2.1) takes nothing from our address (550 see lists.example)"),
    ("RCPT deferred", facts(**rcpt("450 later", "4.0.0")), "deferral",
     "mx.far.example (192.0.2.1) does not take mail for ann@far.example now (450 later): it waits"),
    ("backed off", facts(until=NOW + 300, error="192.0.2.1: timed out", **stands("backoff")),
     "backed_off",
     ("far.example could not be reached (192.0.2.1: timed out), so nothing goes out for it until "
      "2023-11-14T22:18:20Z (in 5.0 min), though it answers now; to try at once: tubepost dest")),
]  # fmt: skip

WILL = [
    ("nothing queued", facts(), "would_go",
     "Nothing for far.example waits, and a mail would go: mx.far.example (192.0.2.1) greets us."),
    ("nothing queued, recipient asked", facts(hosts=(HostSeen(name="m", ip="192.0.2.1",
     greeted=True, rcpt=Said(outcome="success", text="ok")),)), "would_go",
     "Nothing for far.example waits, and a mail would go: m (192.0.2.1) greets us and takes ann@f"),
    ("local", ours(), "local", "Nothing for joe@example.org waits: example.org is ours, and a mai"),
    ("local, remote away", ours(away={"remote": "no answer"}), "local", "Nothing for joe@example."),
    ("due in N", facts(**DUE, reply="451 4.7.1 greylisted"), "waiting",
     ("Nothing stands in its way now: after 1 attempt (the last answer: 451 4.7.1 greylisted) it is"
     " tried again 2023-11-14T22:19:20Z (in 6.0 min); to try at once: tubepost queue flush "
     "--domain far.example")),
    ("one mail, due in N", facts(**{**DUE, "attempts": 2, "mail_id": ID}), "waiting",
     ("Nothing stands in its way now: after 2 attempts it is tried again 2023-11-14T22:19:20Z (in "
     "6.0 min); to try at once: tubepost queue flush 001a")),
    ("running", facts(**stands("delivering")), "delivering", "A delivery for far.example runs at"),
    ("settling", facts(**stands("settling")), "settling", "The scheduler is at work on the mail f"),
    ("behind others of the destination", facts(**stands("ready", 7), out=5), "destination_full",
     "7 mails for far.example are due, behind the 5 deliveries that run for it, the most it gets"),
    ("behind all others", facts(**stands("ready"), running=20), "slots_taken",
     "1 mail for far.example is due, but all 20 slots are taken: they go in turn"),
    ("behind others of its hosts", facts(**stands("ready", 2), site=".google.com", out=5),
     "site_full", "2 mails for far.example are due, behind others: what domains with mail hosts"),
    ("rate limited", facts(**stands("ready", 2), rate=0.5), "rate",
     "2 mails for far.example are due, and its rate allows 0.5 a second"),
    ("at any moment", facts(**stands("ready")), "ready",
     "1 mail for far.example is due and can go out at any moment."),
    ("one host of two is silent", facts(hosts=(SILENT, GREETS)), "would_go", "Nothing for far.exa"),
    ("one host of two is skipped", facts(hosts=(HostSeen(name="m", ip="192.0.2.9", greeted=True,
     skipped="x"), GREETS)), "would_go", "Nothing for far.example waits"),
    ("a back-off that is over", facts(until=NOW - 1, error="x"), "would_go", "Nothing for far.exa"),
    ("some held, some due", facts(stands={"held": 1, "ready": 1}), "ready", "1 mail for far.examp"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("seen", "reason", "sentence"),
    [row[1:] for row in WILL_NOT],
    ids=[row[0] for row in WILL_NOT],
)
def test_what_stops_a_mail(seen: Facts, reason: str, sentence: str) -> None:
    found = verdict(seen)
    assert (found.goes, found.reason) == (False, reason)
    assert found.sentence.startswith(sentence)


@pytest.mark.parametrize(
    ("seen", "reason", "sentence"), [row[1:] for row in WILL], ids=[row[0] for row in WILL]
)
def test_what_goes_by_itself(seen: Facts, reason: str, sentence: str) -> None:
    found = verdict(seen)
    assert (found.goes, found.reason) == (True, reason)
    assert found.sentence.startswith(sentence)


def test_a_word_belongs_to_one_end_only() -> None:
    assert not {row[2] for row in WILL_NOT} & {row[2] for row in WILL}


def test_what_an_operator_stopped_is_told_before_what_the_hosts_say() -> None:
    seen = facts(pauses={"all": "kim"}, hosts=(REFUSING,), until=NOW + 9)
    assert verdict(seen).reason == "paused"


def test_a_long_reply_is_cut() -> None:
    seen = facts(**greeting("554 " + "x" * 1000))
    assert len(verdict(seen).sentence) < 500


def test_what_is_no_mailbox_of_its_own_is_told_by_its_rule() -> None:
    assert "goes into its Maildir at once" in verdict(ours(rule="account")).sentence
    assert "is taken by the rule 'alias' at once" in verdict(ours(rule="alias")).sentence
