"""Why the mail has not gone, and what to do: one sentence. Pure: facts in, verdict out.

The first rule that has something to say wins: what an operator has stopped, then what no try could
overcome, then what the hosts said, then what only takes time.
"""

from collections.abc import Callable

from ctl.queue_show import when
from ctl.why_facts import Facts
from ctl.why_peers import dns, no_host_greets, passed_over, rcpt
from ctl.why_words import Verdict, called, mails, no, short, times

Rule = Callable[[Facts], Verdict | None]


def verdict(facts: Facts) -> Verdict:
    """The end of the matter."""
    for rule in _RULES:
        found = rule(facts)
        if found is not None:
            return found
    return _fine(facts)


# What an operator has stopped, or what is not there


def _away(facts: Facts) -> Verdict | None:
    for service, what in _NEEDED.items():
        if service in facts.away and not (service == "remote" and facts.local):
            return no(
                f"{service}_away",
                f"{service} does not answer ({facts.away[service]}): {what} until it does; "
                "/readyz on the admin port names what is missing.",
            )
    return None


_NEEDED = {
    "popauth": "nobody can say which domains are ours",
    "scheduler": "nothing is handed out",
    "remote": "nothing goes to other hosts",
}


def _mailbox(facts: Facts) -> Verdict | None:
    if not facts.local or facts.mailbox is not False:
        return None
    return no(
        "mailbox",
        f"{facts.domain} is ours and has no mailbox {facts.target}: mail for it is refused; "
        f"to make one: tubepost account add {facts.target}",
    )


def _stopped(facts: Facts) -> Verdict | None:
    if not (facts.local and facts.stopped):
        return None
    return no(
        "stopped",
        f"{facts.target} takes no mail now (rule {facts.rule!r}): {facts.stopped}",
    )


def _gone(facts: Facts) -> Verdict | None:
    if not facts.gone:
        return None
    return no(
        "not_in_queue",
        f"Mail {facts.mail_id} is not, or no longer, in the queue for {facts.domain}; "
        f"what became of it: tubepost trace {facts.mail_id}",
    )


def _set_aside(facts: Facts) -> Verdict | None:
    if not facts.stands or set(facts.stands) - {"held", "parked"}:
        return None
    where = next(iter(facts.stands))
    first = facts.firsts[where]
    which = mails(facts.stands[where], facts.domain)
    if where == "held":
        why = f" ({first.why})" if first.why else ""
        return no(
            "held",
            f"{which} held by {first.by or 'an operator'}{why}; "
            f"to let it go: tubepost queue release {first.id}",
        )
    return no(
        "parked",
        f"{which} set aside by Tubepost ({short(first.reply) or 'see the log'}); "
        f"to try again: tubepost queue release {first.id}",
    )


def _paused(facts: Facts) -> Verdict | None:
    for what in ("all", facts.channel, facts.domain):
        if what in facts.pauses:
            name = {"all": "All mail", "local": "Local mail", "remote": "Remote mail"}
            by = f" by {facts.pauses[what]}" if facts.pauses[what] else ""
            return no(
                "paused",
                f"{name.get(what, what)} is paused{by}; to go on: tubepost queue resume {what}",
            )
    return None


def _no_slots(facts: Facts) -> Verdict | None:
    if facts.slots != 0:
        return None
    setting = f"concurrency{facts.channel}"
    return no(
        "no_slots",
        f"{setting} is 0, which holds all {facts.channel} mail; "
        f"to let it go: tubepost control set {setting} 20",
    )


def _suppressed(facts: Facts) -> Verdict | None:
    if not facts.suppressed:
        return None
    return no(
        "suppressed",
        f"{facts.target} was refused for good not long ago ({short(facts.suppressed)}), so a mail "
        f"for it fails at once; to forget that: tubepost suppression remove {facts.target}",
    )


# What only takes time


def _backed_off(facts: Facts) -> Verdict | None:
    if facts.local or facts.until <= facts.now:
        return None
    answers = ", though it answers now" if any(host.greeted for host in facts.hosts) else ""
    return no(
        "backed_off",
        f"{facts.domain} could not be reached ({short(facts.error)}), so nothing goes out for it "
        f"until {when(facts.until, facts.now)}{answers}; "
        f"to try at once: tubepost destinations reset {facts.domain}",
    )


def _in_line(facts: Facts) -> Verdict | None:
    """Due, and waiting for a turn."""
    ready = facts.stands.get("ready", 0) + facts.stands.get("backoff", 0)
    if not ready:
        return None
    which = f"{mails(ready, facts.domain)} due"
    if facts.site:
        return Verdict(
            True,
            "site_full",
            f"{which}, behind others: what domains with mail hosts of {facts.site} share is in "
            "use: tubepost control get destinations",
        )
    if not facts.local and facts.out >= facts.window > 0:
        return Verdict(
            True,
            "destination_full",
            f"{which}, behind the {facts.out} deliveries that run for it, the most it gets now "
            f"(limit {facts.limit}): tubepost control get destinations",
        )
    if facts.slots and facts.running >= facts.slots:
        setting = f"concurrency{facts.channel}"
        return Verdict(
            True,
            "slots_taken",
            f"{which}, but all {facts.slots} slots are taken: they go in turn; "
            f"to see how many there are: tubepost control get {setting}",
        )
    if not facts.local and facts.rate:
        return Verdict(
            True,
            "rate",
            f"{which}, and its rate allows {facts.rate:g} a second: "
            "tubepost control get destinations",
        )
    return Verdict(True, "ready", f"{which} and can go out at any moment.")


def _waiting(facts: Facts) -> Verdict | None:
    if facts.stands.get("delivering"):
        return Verdict(
            True, "delivering", f"A delivery for {facts.domain} runs at this moment; ask again."
        )
    if facts.stands.get("settling"):
        return Verdict(
            True, "settling", f"The scheduler is at work on the mail for {facts.domain}; ask again."
        )
    if not facts.stands.get("waiting") or facts.next_try is None:
        return None
    said = f" (the last answer: {short(facts.reply)})" if facts.reply else ""
    which = facts.mail_id or f"--domain {facts.domain}"
    return Verdict(
        True,
        "waiting",
        f"Nothing stands in its way now: after {times(facts.attempts)}{said} it is tried again "
        f"{when(facts.next_try, facts.now)}; to try at once: tubepost queue flush {which}",
    )


def _fine(facts: Facts) -> Verdict:
    if facts.local:
        where = f"is taken by the rule {facts.rule!r}"
        if facts.rule in ("", "account"):
            where = "goes into its Maildir"
        return Verdict(
            True,
            "local",
            f"Nothing for {facts.target} waits: {facts.domain} is ours, and a mail for it {where} "
            "at once.",
        )
    by = next((host for host in facts.hosts if host.greeted), None)
    how = f": {called(by)} greets us" if by else ""
    asked = f" and takes {facts.target}" if by and by.rcpt else ""
    return Verdict(
        True, "would_go", f"Nothing for {facts.domain} waits, and a mail would go{how}{asked}."
    )


_RULES: tuple[Rule, ...] = (
    _away, _mailbox, _stopped, _gone, _set_aside, _paused, _no_slots, _suppressed, dns,
    no_host_greets, passed_over, rcpt, _backed_off, _in_line, _waiting,
)  # fmt: skip
