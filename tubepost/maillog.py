"""The log: one function for each thing that happens. No other module logs.

What a line looks like is log_lines' to say. Each function also counts what it logs. The events and
their fields are listed in docs/logs.md; a test compares.
Never logged: passwords, bodies.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime

import structlog

from tubepost import metrics
from tubepost.outcome import NAMES, Delivered, Outcome
from tubepost.record import Held, Record, State
from tubepost.subjects import Key

_log: structlog.stdlib.BoundLogger = structlog.get_logger()

SHOWN = 20
"""Of what a metric has a label value for each of, or a line a list."""


def service_ready(name: str, addresses: Mapping[str, str]) -> None:
    """`addresses`: listener -> HOST:PORT."""
    _log.info("service.ready", name=name, **addresses)


def service_stopped(name: str) -> None:
    _log.info("service.stopped", name=name)


def settings_in_force(name: str, values: Mapping[str, object]) -> None:
    """The effective settings, secrets left out."""
    _log.info("service.settings", name=name, values=dict(values))


def bad_setting(name: str, why: str) -> None:
    _log.error("service.bad_setting", name=name, why=why)


def setting_refused(name: str, why: str) -> None:
    """A stored control setting that this release cannot read; its default is in force."""
    _log.error("control.refused", name=name, why=why)


def service_failed(name: str, why: str) -> None:
    _log.error("service.failed", name=name, why=why)


def certificate_made(file: str) -> None:
    _log.warning(
        "tls.self_signed", file=file, advice="put a real one in its place; no restart is needed"
    )


def certificate_loaded(name: str, file: str, names: Sequence[str], expires: float) -> None:
    """A new one, or a known one whose files have changed."""
    until = datetime.fromtimestamp(expires, UTC).isoformat()[:19] + "Z"
    _log.info("tls.loaded", name=name, file=file, names=names[:SHOWN], expires=until)


def certificate_refused(name: str, file: str, why: str) -> None:
    """Its files cannot be used: what was loaded before stays in force."""
    _log.error("tls.refused", name=name, file=file, why=why)


def certificates_in_force(expires: Mapping[str, float]) -> None:
    """When each expires. Only a gauge: the default, and those that expire first."""
    metrics.CERTIFICATE_EXPIRES.clear()
    for name in sorted(expires, key=lambda name: (name != "default", expires[name]))[:SHOWN]:
        metrics.CERTIFICATE_EXPIRES.labels(name).set(expires[name])


def child_ended(name: str, code: int) -> None:
    _log.warning("child.ended", name=name, code=code)


def bus_away(why: str) -> None:
    metrics.BUS_LOST.inc()
    _log.warning("bus.away", why=why)


def bus_back() -> None:
    _log.info("bus.back")


def backend_away(name: str, why: str) -> None:
    """`name`: store, directory or logins. Readiness is false until it is back."""
    _log.warning("backend.away", name=name, why=why)


def backend_back(name: str) -> None:
    _log.info("backend.back", name=name)


def dns_away(why: str) -> None:
    _log.warning("dns.away", why=why)


def dns_back() -> None:
    _log.info("dns.back")


def list_failed(base: str, why: str) -> None:
    """A DNS list is no help now: mail is taken as if it listed nobody."""
    _log.warning("rbl.failed", list=base, why=why)


def bus_error(why: str) -> None:
    """What the server complains about; a missing permission shows only here."""
    _log.warning("bus.error", why=why)


def entry_unreadable(name: str, why: str) -> None:
    """A domain of the directory is none this release can read: mail for it waits."""
    _log.error("directory.unreadable", name=name, why=why)


def bug(where: str) -> None:
    """An exception nobody expected; call it while handling it. The mail in hand is kept."""
    metrics.BUGS.inc()
    _log.exception("bug", where=where)


def accepted(mail_id: str, record: Mapping[str, object], *, source: str, tls: str = "") -> None:
    """A mail is durably in the queue. `record`: sender, recipients, size, client, helo, user."""
    metrics.MAILS_ACCEPTED.labels(source).inc()
    _log.info("mail.accepted", mail_id=mail_id, source=source, tls=tls, **record)


def sender_kept(mail_id: str, sender: str, why: str) -> None:
    """A mail is sent on to another host under its own sender, although SRS is on."""
    _log.warning("forward.sender_kept", mail_id=mail_id, sender=sender, why=why)


def refused(verdict: str, reply: str, facts: Mapping[str, object]) -> None:
    """A command was refused. `facts`: client, helo, sender, recipient, as far as known."""
    metrics.MAILS_REFUSED.labels(verdict).inc()
    _log.info("smtp.refused", verdict=verdict, reply=reply, **facts)


def tls_failed(listener: str, client: str, why: str) -> None:
    """A connection to a listener with implicit TLS ended in its handshake."""
    _log.info("smtp.tls_failed", listener=listener, client=client, why=why)


def tls_fallback(host: str, peer: str, why: str) -> None:
    """Mail for it goes in the clear for a while. One line for each session it happened to."""
    _log.info("tls.fallback", host=host, peer=peer, why=why)


def proxy_broken(listener: str, client: str, why: str) -> None:
    """A load balancer that we trust sent no PROXY header, or one that cannot be read."""
    metrics.PROXY_HEADERS_BROKEN.labels(listener).inc()
    _log.warning("smtp.proxy_broken", listener=listener, client=client, why=why)


def attempted(
    mail: Held, outcomes: Mapping[str, Outcome], new: Record | None, *, seconds: float
) -> None:
    """A delivery is over and its outcome stored."""
    channel = mail.record.channel
    metrics.ATTEMPT_SECONDS.labels(channel).observe(seconds)
    for recipient, outcome in outcomes.items():
        name = NAMES[type(outcome)]
        metrics.ATTEMPTS.labels(channel, name).inc()
        if isinstance(outcome, Delivered):
            more = {"tls": outcome.tls}
        else:
            metrics.NOT_DELIVERED.labels(channel, name, outcome.kind).inc()
            more = {"kind": outcome.kind, "status": outcome.status, "phase": outcome.phase}
        _log.info(
            "delivery." + name,
            mail_id=mail.key.mail_id,
            recipient=recipient,
            channel=channel,
            attempt=mail.record.attempts + 1,
            text=outcome.text,
            peer=outcome.peer,
            seconds=round(seconds, 4),
            host_seconds=round(outcome.seconds, 4),
            next_attempt=new.next_attempt if new and new.state is State.PENDING else None,
            **more,
        )


def worker_failed(channel: str, key: Key, why: str) -> None:
    """The bus was away during a delivery; the job will be handed out again."""
    _log.warning("delivery.interrupted", channel=channel, mail_id=key.mail_id, why=why)


def suppressed(key: Key, recipient: str, until: float) -> None:
    """A host said that a recipient is not there: later mails for it fail at once."""
    metrics.SUPPRESSED.inc()
    _log.info("recipient.suppressed", mail_id=key.mail_id, recipient=recipient, until=until)


def suppression_failed(key: Key, why: str) -> None:
    """Who is suppressed could not be read, or written: the recipients are tried."""
    _log.warning("recipient.not_looked_up", mail_id=key.mail_id, why=why)


def unreadable(key: Key, why: str) -> None:
    _log.error("mail.unreadable", mail_id=key.mail_id, unit=key.unit, why=why)


def bounced(mail_id: str, bounce_id: str, *, kind: str, to: str) -> None:
    """A report was made, or not: `kind` triple (it ends here) and unwanted (NOTIFY) have no id.

    The others: single, double; delivered, relayed and delayed are no bounces but tell the sender.
    """
    metrics.BOUNCES.labels(kind).inc()
    _log.info("mail.bounced", mail_id=mail_id, bounce_id=bounce_id, kind=kind, to=to)


def ended(key: Key, channel: str, seconds: float) -> None:
    """A record left the queue, `seconds` after its mail was accepted."""
    metrics.QUEUE_TIME.labels(channel).observe(max(0.0, seconds))
    _log.debug("mail.ended", mail_id=key.mail_id, unit=key.unit, seconds=round(seconds, 3))


def parked(key: Key, why: str) -> None:
    _log.error("mail.parked", mail_id=key.mail_id, unit=key.unit, why=why)


def body_lost(key: Key, why: str) -> None:
    """A bounce goes out without the mail: a piece of its body is missing."""
    _log.error("mail.body_lost", mail_id=key.mail_id, unit=key.unit, why=why)


def shards_not_owned(shards: Iterable[int]) -> None:
    """At the start. Only a gauge: a shard that nobody owns shows as 0 everywhere."""
    for shard in shards:
        metrics.SHARD_OWNED.labels(shard).set(0)


def queue_action(action: str, *, mail_id: str, unit: str, actor: str, reason: str) -> None:
    """An operator did something to a unit; no `mail_id`: a flush of all that matched a filter."""
    _log.info("queue.action", action=action, mail_id=mail_id, unit=unit, actor=actor, reason=reason)


def paused(what: str, *, actor: str, reason: str) -> None:
    """`what`: all, a channel or a destination."""
    _log.warning("queue.paused", what=what, actor=actor, reason=reason)


def resumed(what: str, *, actor: str, reason: str) -> None:
    _log.info("queue.resumed", what=what, actor=actor, reason=reason)


def destination_reset(name: str, *, actor: str, reason: str) -> None:
    """An operator ended the back-off of a destination."""
    _log.info("queue.reset", destination=name, actor=actor, reason=reason)


def host_backed_off(ip: str, port: int, why: str, *, seconds: float) -> None:
    """This worker met a host that failed again: no worker goes there for `seconds`."""
    _log.info("host.backed_off", peer=ip, port=port, why=why, seconds=round(seconds))


def host_back(ip: str, port: int) -> None:
    """A host that was backed off answered this worker."""
    _log.info("host.back", peer=ip, port=port)


def uplink_doubted(failures: int, why: str) -> None:
    """So many connections failed one after the other, the last one so: the fault may be here."""
    _log.warning("uplink.doubted", failures=failures, why=why)


def uplink_back() -> None:
    """A host took a connection again."""
    _log.info("uplink.back")


def host_reset(ip: str, *, actor: str) -> None:
    """An operator ended the back-off of a host."""
    _log.info("host.reset", peer=ip, actor=actor)


def probed(destination: str, *, hosts: int, greeted: int, seconds: float) -> None:
    """An operator asked how a destination looks from here: so many connections, no mail."""
    _log.info(
        "probe.done",
        destination=destination,
        hosts=hosts,
        greeted=greeted,
        seconds=round(seconds, 3),
    )


def shard_owned(shard: int) -> None:
    metrics.SHARD_OWNED.labels(shard).set(1)
    _log.info("shard.owned", shard=shard)


def shard_given_up(shard: int, why: str) -> None:
    metrics.SHARD_OWNED.labels(shard).set(0)
    _log.info("shard.given_up", shard=shard, why=why)


def shard_lost(shard: int, why: str) -> None:
    metrics.SHARD_OWNED.labels(shard).set(0)
    _log.warning("shard.lost", shard=shard, why=why)


def body_collected(mail_id: str, seconds: float) -> None:
    """A body without a record was removed, `seconds` after its last piece was stored."""
    metrics.BODIES_COLLECTED.inc()
    _log.info("body.collected", mail_id=mail_id, seconds=round(seconds))


def reconciled(shard: int, *, unseen: int, gone: int) -> None:
    """An owner's memory was not what the stream has, and is again."""
    _log.warning("shard.reconciled", shard=shard, unseen=unseen, gone=gone)


def quota_warned(address: str, percent: int) -> None:
    """A mailbox got the mail that says it is nearly full."""
    metrics.QUOTA_WARNINGS.inc()
    _log.info("quota.warned", account=address, percent=percent)


def quota_failed(name: str, why: str) -> None:
    """What an account, its Maildir or a domain holds could not be booked, counted or warned of."""
    _log.warning("quota.failed", name=name, why=why)


def login(service: str, user: str, client: str, *, result: str) -> None:
    """`result`: success, refused (wrong name or password), unavailable."""
    metrics.LOGINS.labels(service, result).inc()
    _log.info("login." + result, via=service, user=user, client=client)


def login_kept_out(service: str, user: str, client: str, *, flag: str) -> None:
    """The password is right; `flag` of the account or its domain lets nobody in."""
    metrics.LOGINS.labels(service, flag).inc()
    _log.info("login.kept_out", via=service, user=user, client=client, flag=flag)


def relay_opened(client: str, user: str, *, result: str) -> None:
    """`result`: opened, not_listable (a private or loopback address), no_relay (a flag of the
    account), failed (bus away).
    """
    metrics.RELAY_OPENED.labels(result).inc()
    _log.info("relay." + result, client=client, user=user)


def relay_many_users(client: str, users: list[str]) -> None:
    """Once in a window: so many opened the relay from one address that it may be a NAT or worse."""
    metrics.RELAY_MANY_USERS.inc()
    _log.warning("relay.many_users", client=client, count=len(users), users=users)


def changed(what: str, name: str, actor: str) -> None:
    """An operator changed a domain, an account, a setting."""
    _log.info("admin.changed", what=what, name=name, actor=actor)
