"""What DNS, the hosts and the recipient's host said, as a reason why a mail does not go. Pure."""

import re

from ctl.why_facts import Facts, Said
from ctl.why_words import Verdict, called, no, number_of, short

# What DNS says


def dns(facts: Facts) -> Verdict | None:
    said = facts.no_hosts
    if said is None:
        return None
    known = _NO_HOSTS.get(said.status)
    if known:
        reason, sentence = known
        return no(reason, sentence.format(domain=facts.domain, text=short(said.text)))
    if said.outcome == "failure":
        return no("no_host", f"A mail for {facts.domain} bounces: {short(said.text)}")
    return no(
        "dns",
        f"DNS gives no answer for {facts.domain} now ({short(said.text)}), so its mail waits and "
        f"is tried again; if others can resolve it, look at your name servers.",
    )


_NO_HOSTS = {
    "5.1.10": (
        "null_mx",
        "{domain} takes no mail at all, its MX record is null: a mail for it bounces.",
    ),
    "5.1.2": (
        "no_domain",
        "There is no {domain} in DNS, so a mail for it bounces; look at the spelling.",
    ),
    "5.4.4": (
        "no_address",
        "{domain} has neither a mail host nor an address in DNS: a mail for it bounces.",
    ),
    "5.4.6": (
        "loop",
        (
            "DNS leads the mail of {domain} back to this host, and {domain} is none of our "
            "domains: add it (tubepost domain add {domain}), route it (smtproutes), or mend its "
            "MX records."
        ),
    ),
    "4.3.5": (
        "relay",
        (
            "smtproutes sends {domain} to a relay that cannot be used ({text}); "
            "look at: tubepost control get smtproutes"
        ),
    ),
}


# What the hosts say


def no_host_greets(facts: Facts) -> Verdict | None:
    hosts = facts.hosts
    if not hosts or any(host.greeted for host in hosts):
        return None
    return (
        _tls(facts)
        or _login(facts)
        or _greeting(facts)
        or _all_silent(facts)
        or _all_refuse(facts)
        or no(
            "no_connection",
            f"None of the hosts of {facts.domain} could be spoken to "
            f"({short('; '.join(host.error for host in hosts))}): its mail waits.",
        )
    )


def _tls(facts: Facts) -> Verdict | None:
    """A host that would talk, but not as securely as its policy demands."""
    if facts.tls_level not in ("encrypt", "verify"):
        return None
    for host in facts.hosts:
        if host.connected and re.search(r"TLS|certificate", host.error, re.IGNORECASE):
            return no(
                "tls",
                f"The TLS policy for {facts.domain} is {facts.tls_level}, and no host of it "
                f"fulfils that ({short(host.error)}): its mail waits; they, or your policy, "
                "have to change.",
            )
    return None


def _login(facts: Facts) -> Verdict | None:
    refused = [host for host in facts.hosts if re.match(r"5[03][0-9]", host.reply)]
    if not facts.login or not refused or not re.match(r"53", refused[0].reply):
        return None
    return no(
        "login",
        f"{called(refused[0])} refuses our login ({short(refused[0].reply)}); "
        "mend the user or the password: tubepost control set smtproutes",
    )


def _greeting(facts: Facts) -> Verdict | None:
    for host in facts.hosts:
        if host.reply:
            return no(
                "greeting",
                f"{called(host)} does not want to talk to us ({short(host.reply)}): its mail "
                "waits; what it says tells whether our address is on a list, or they are busy.",
            )
    return None


def _all_silent(facts: Facts) -> Verdict | None:
    if not all(host.timed_out and not host.connected for host in facts.hosts):
        return None
    ports = " and ".join(sorted({str(host.port) for host in facts.hosts}))
    return no(
        "silent",
        f"{number_of(len(facts.hosts))} of {facts.domain} did not answer on port {ports}: they are "
        f"down, or your network blocks port {ports}; another domain that fails alike means the "
        "latter, and a relay in smtproutes is the way out.",
    )


def _all_refuse(facts: Facts) -> Verdict | None:
    if not all("refused" in host.error and not host.connected for host in facts.hosts):
        return None
    return no(
        "refused",
        f"{number_of(len(facts.hosts))} of {facts.domain} refused the connection, no mail server "
        "runs there now: its mail waits and is tried again.",
    )


def passed_over(facts: Facts) -> Verdict | None:
    greeted = [host for host in facts.hosts if host.greeted]
    if not greeted or not all(host.skipped for host in facts.hosts):
        return None
    return no(
        "host_skipped",
        f"Deliveries pass over every host of {facts.domain} for now ({short(greeted[0].skipped)}),"
        f" but it answers again; to try at once: tubepost destinations reset {facts.domain}",
    )


def rcpt(facts: Facts) -> Verdict | None:
    """What the first host that a delivery would use said of the recipient."""
    usable = [host for host in facts.hosts if host.greeted and not host.skipped]
    said = usable[0].rcpt if usable else None
    if said is None or said.outcome == "success":
        return None
    words = short(said.reply or said.text)
    reason = _kind(said)
    sentence = _REFUSED.get(reason, _REFUSED[said.outcome])
    return no(reason, sentence.format(host=called(usable[0]), target=facts.target, words=words))


_REFUSED = {
    "unknown_user": "{host} knows nobody called {target} ({words}): a mail for it bounces.",
    "greylisted": "{host} greylists us ({words}): it takes the mail at a later try, so let it wait "
    "and keep sending from the same address.",
    "mailbox_full": "The mailbox of {target} is full, says {host} ({words}): only its owner can "
    "help.",
    "rate_limited": "{host} finds that we send too much ({words}): lower what it gets, "
    "tubepost control set destinations",
    "disabled_user": "The mailbox of {target} is closed, says {host} ({words}): a mail for it "
    "bounces.",
    "blocked": "{host} takes nothing from our address ({words}): look it up on the list that it "
    "names, and ask to be taken off.",
    "failure": "{host} refuses {target} ({words}): a mail for it bounces.",
    "deferral": "{host} does not take mail for {target} now ({words}): it waits and is tried "
    "again.",
}


def _kind(said: Said) -> str:
    """The kind that remote found, else what the reply says itself; else the outcome."""
    if said.kind in _REFUSED:
        return said.kind
    words = said.reply or said.text
    deferred = said.outcome == "deferral"
    if deferred and re.search(r"gr[ae]y.?list", words, re.IGNORECASE):
        return "greylisted"
    if said.status[1:] == ".2.2" or re.search(r"mailbox.{0,10}full|quota", words, re.IGNORECASE):
        return "mailbox_full"
    return "unknown_user" if said.status == "5.1.1" else said.outcome
