"""Policies on the sessions that are open in this process (TCP-1)."""

from services.smtpd.facts import Client
from services.smtpd.refusal import Refusal

_REPLY = "421 too many connections, try again later "


def process_is_full(client: Client) -> Refusal | None:
    """`concurrencyincoming`: what this process can carry. Nobody is exempt."""
    if client.load.sessions.up:
        return Refusal("concurrencyincoming", _REPLY + "(#4.3.2)", True)
    return None


def client_has_many(client: Client) -> Refusal | None:
    """`concurrencyclient`: one client shall not take all the sessions."""
    if client.load.own_sessions.up:
        return Refusal("concurrencyclient", _REPLY + "(#4.7.0)", True)
    return None
