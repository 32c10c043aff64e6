"""Events of typical mails, as the services tell them; T is when the first mail came."""

from typing import Any

Event = dict[str, Any]

T = 1_700_000_000.0
ONE = f"{int(T * 1000):013x}" + "00000000a1"
TWO = f"{int(T * 1000) + 5:013x}" + "00000000b2"
JOE, ANN, BOB = "joe@example.org", "ann@far.example", "bob@far.example"
LOCAL, REMOTE = ("local", "example.org"), ("remote", "far.example")
OK = "192.0.2.1 accepted message./Remote host said: 250 ok/"
BUSY = "451 come back later"
NO = "550 no such user (#5.1.1)"


def common(kind: str, mail: str, at: float, by: str) -> Event:
    return {"event": kind, "mail": mail, "at": T + at, "by": f"{by}/host-1"}


def accepted(mail: str = ONE, at: float = 0, *, sender: str = JOE, to: tuple[str, ...] = (ANN,),
             source: str = "smtp", bounce_of: str = "") -> Event:  # fmt: skip
    return {
        **common("accepted", mail, at, "scheduler" if bounce_of else "smtpd"),
        "sender": sender,
        "recipients": list(to),
        "count": len(to),
        "size": 1234,
        "source": source,
        "client": "" if bounce_of else "192.0.2.7",
        "helo": "" if bounce_of else "client.example",
        "user": "",
        "bounce_of": bounce_of,
        "forward_of": "",
    }


def bounce(mail: str, of: str, at: float, *, sender: str = "", to: str = JOE) -> Event:
    """A bounce comes into the queue."""
    return accepted(mail, at, sender=sender, to=(to,), source="bounce", bounce_of=of)


def outcome(address: str, name: str = "success", text: str = OK) -> Event:
    status = {"success": "2.0.0", "deferral": "4.0.0", "failure": "5.1.1"}[name]
    return {"address": address, "outcome": name, "status": status, "text": text}


def attempt(
    *recipients: Event,
    mail: str = ONE,
    began: float,
    at: float,
    state: str = "done",
    unit: str = "0",
    to: tuple[str, str] = REMOTE,
    number: int = 1,
    group: bool = False,
) -> Event:
    return {
        **common("attempt", mail, at, to[0]),
        "unit": unit,
        "channel": to[0],
        "destination": to[1],
        "attempt": number,
        "began": T + began,
        "seconds": at - began,
        "recipients": list(recipients),
        "state": state,
        "next_attempt": T + 400 if state == "pending" else None,
        "group": group,
    }


def started(*to: str, mail: str = ONE, began: float, at: float, number: int = 1) -> Event:
    about = {"unit": "0", "channel": "remote", "destination": "far.example", "attempt": number}
    return {
        **common("started", mail, at, "remote"),
        **about,
        "began": T + began,
        "recipients": list(to),
    }


def bounced(mail: str, bounce: str, at: float, *, kind: str = "single", to: str = JOE) -> Event:
    about = {"unit": "0", "bounce": bounce, "kind": kind, "to": to}
    return {**common("bounced", mail, at, "scheduler"), **about}


def ended(mail: str, at: float, unit: str = "0") -> Event:
    return {**common("ended", mail, at, "scheduler"), "unit": unit, "seconds": at}


def split(at: float) -> Event:
    units = [["0", *LOCAL], ["1", *REMOTE]]
    return {**common("split", ONE, at, "scheduler"), "units": units, "count": 2}


def parked(at: float) -> Event:
    about = {"unit": "0", "why": "mail.1.0 is not in the store"}
    return {**common("parked", ONE, at, "remote"), **about}


LOCAL_SUCCESS = [
    accepted(to=(JOE,)),
    attempt(outcome(JOE, text="did_1+0+0/"), began=0.1, at=0.2, to=LOCAL),
]

DEFERRAL_THEN_SUCCESS = [
    accepted(),
    attempt(outcome(ANN, "deferral", BUSY), began=0.1, at=0.5, state="pending"),
    attempt(outcome(ANN), began=400.0, at=400.25, number=2),
]

FAILURE = [
    accepted(to=(BOB,)),
    attempt(outcome(BOB, "failure", NO), began=0.1, at=0.2, state="bounce"),
    bounce(ONE + "b0a1", ONE, 0.3),
    bounced(ONE, ONE + "b0a1", 0.31),
    ended(ONE, 0.32),
    attempt(outcome(JOE, text="did_1+0+0/"), mail=ONE + "b0a1", began=0.4, at=0.5, to=LOCAL),
]

TRIPLE = [
    accepted(sender="", to=(BOB,)),
    attempt(outcome(BOB, "failure", NO), began=0.1, at=0.2, state="bounce"),
    bounce(ONE + "b0a1", ONE, 0.3, sender="#@[]", to="postmaster@far.example"),
    bounced(ONE, ONE + "b0a1", 0.31, kind="double", to="postmaster@far.example"),
    ended(ONE, 0.32),
    attempt(
        outcome("postmaster@far.example", "failure", NO),
        mail=ONE + "b0a1",
        began=0.4,
        at=0.5,
        state="bounce",
    ),
    bounced(ONE + "b0a1", "", 0.6, kind="triple", to=""),
    ended(ONE + "b0a1", 0.7),
]

SEVERAL = [
    accepted(to=(JOE, ANN, BOB)),
    split(0.05),
    attempt(
        outcome(ANN), outcome(BOB, "deferral", BUSY),
        began=0.1, at=0.4, state="pending", unit="1", group=True,
    ),
    attempt(outcome(JOE, text="did_1+0+0/"), began=0.2, at=0.3, to=LOCAL, group=True),
    attempt(outcome(BOB), began=400.0, at=400.5, unit="1", number=2, group=True),
    ended(ONE, 400.6, unit="S"),
]  # fmt: skip
