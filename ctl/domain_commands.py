"""`tubepost domain`: domains whose mail is delivered here, their other names, limits and quotas."""

from typing import Annotated, Any

import typer

from ctl import directory_lines, flag_words, output
from ctl.asking import Asking, Domain, asking
from ctl.client import Api
from ctl.directory_pages import deliver_waiting, used
from ctl.typed import Quota
from tubepost.errors import BadInput
from tubepost.quota import parse_quota

domains = typer.Typer(help="Domains whose mail is delivered here.", no_args_is_help=True)

UNKNOWN = {"bounce-no-mailbox": "refuse"}
"""As vpopmail's .qmail-default says it."""

Unknown = Annotated[
    str | None,
    typer.Option(metavar="refuse|delete|ADDRESS", help="What becomes of mail for nobody."),
]
Most = Annotated[int | None, typer.Option(min=0, metavar="NUMBER", help="At most; 0: any number.")]


@domains.command("add")
@asking
def add(ask: Asking, domain: Domain, unknown: Unknown = None) -> None:
    """Add a domain."""
    added = ask.api.post("domains", json={"name": domain})
    if unknown is not None:
        ask.api.patch("domains", added["name"], json={"unknown": _unknown(unknown)})
    ask.say(added, [f"added {added['name']}"])


@domains.command("alias")
@asking
def alias(
    ask: Asking,
    domain: Annotated[str, typer.Argument(metavar="NEW", help="The other name.")],
    of: Annotated[str, typer.Argument(metavar="DOMAIN", help="The domain it stands for.")],
) -> None:
    """Add another name of a domain: every address there is the domain's."""
    added = ask.api.post("domains", json={"name": domain, "alias_of": of})
    ask.say(added, [f"added {added['name']}, another name of {of.lower()}"])


@domains.command("remove")
@asking
def remove(ask: Asking, domain: Domain) -> None:
    """Remove a domain that has no addresses. Mail of earlier accounts stays on disk."""
    ask.api.delete("domains", domain)
    ask.say({"removed": domain}, [f"removed {domain}"])


@domains.command("list")
@asking
def list_all(ask: Asking) -> None:
    """List the domains."""
    found = ask.api.get("domains")
    ask.say(found, found)


@domains.command("show")
@asking
def show(ask: Asking, domain: Domain) -> None:
    """A domain: its other names, mail for nobody, quota and use, limits."""
    _show(ask, ask.api.get("domains", domain))


@domains.command("set")
@asking
def set_domain(
    ask: Asking,
    domain: Domain,
    unknown: Unknown = None,
    alias_of: Annotated[
        str | None,
        typer.Option(metavar="DOMAIN", help='Another name of that domain; "": a domain itself.'),
    ] = None,
) -> None:
    """Say what becomes of mail for nobody, or of which domain this is another name."""
    given = {"unknown": unknown and _unknown(unknown), "alias_of": alias_of}
    wanted = {name: value for name, value in given.items() if value is not None}
    if not wanted:
        raise BadInput(
            "say what to set: --unknown refuse, --unknown delete, --unknown ADDRESS, "
            "or --alias-of DOMAIN"
        )
    _show(ask, _changed(ask.api, domain, wanted))


@domains.command("limits")
@asking
def limits(  # noqa: PLR0913 - its options
    ask: Asking,
    domain: Domain,
    accounts: Most = None,
    aliases: Most = None,
    lists: Most = None,
    quota: Annotated[
        str | None, typer.Option(metavar="QUOTA", help="What a new account gets.")
    ] = None,
    flags: Annotated[
        str | None,
        typer.Option(metavar="FLAGS", help="For all accounts: no_pop,no_smtp,no_relay, or none."),
    ] = None,
) -> None:
    """Show or set how many accounts, aliases and lists a domain may have, and what they may do."""
    given: dict[str, Any] = {
        "accounts": accounts,
        "aliases": aliases,
        "lists": lists,
        "quota": None if quota is None else str(parse_quota(quota)),
        "flags": None if flags is None else flag_words.flags(flags),
    }
    wanted = {name: value for name, value in given.items() if value is not None}
    found = _changed(ask.api, domain, {"limits": wanted} if wanted else {})
    ask.say(found["limits"] | {"counts": found["counts"]}, directory_lines.limits(found))


@domains.command("quota")
@asking
def quota(
    ask: Asking,
    domain: Domain,
    quota: Quota = "",
) -> None:
    """Show or set how much the mails of all accounts of a domain may take together."""
    found = _changed(ask.api, domain, {"quota": str(parse_quota(quota))} if quota else {})
    ask.say({"quota": found["quota"]}, [found["quota"]])


@domains.command("hold")
@asking
def hold(ask: Asking, domain: Domain) -> None:
    """Let mail for a domain wait in the queue, while you work on its folders."""
    done = ask.api.patch("domains", domain, json={"hold": True})
    ask.say(done, [f"mail for {domain} waits in the queue"])


@domains.command("release")
@asking
def release(ask: Asking, domain: Domain) -> None:
    """End that; what waits is tried now."""
    done = ask.api.patch("domains", domain, json={"hold": False})
    why = deliver_waiting(ask.api, [f"@{name}" for name in (done["name"], *done["aliases"])])
    ask.say(done, [f"mail for {domain} is delivered"])
    if why:
        output.note(why)


def _changed(api: Api, domain: str, wanted: dict[str, Any]) -> dict[str, Any]:
    """The domain, after the change if there is one."""
    found: dict[str, Any] = (
        api.patch("domains", domain, json=wanted) if wanted else api.get("domains", domain)
    )
    return found


def _show(ask: Asking, found: dict[str, Any]) -> None:
    use = {} if found["alias_of"] else used(ask.api, found["name"])
    ask.say(found | {"used": use or None}, directory_lines.domain(found, use))


def _unknown(text: str) -> str:
    return UNKNOWN.get(text, text)
