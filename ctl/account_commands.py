"""`tubepost account`: mailboxes, their passwords, and what their users may do."""

from typing import Annotated, Any

import typer

from ctl import account_import, directory_lines, output
from ctl.asking import Address, Asking, asking
from ctl.directory_pages import deliver_waiting, say_addresses, used
from ctl.typed import FromStdin, Quota, password
from tubepost.errors import BadInput
from tubepost.quota import parse_quota

accounts = typer.Typer(help="Mailboxes.", no_args_is_help=True)
accounts.command("import")(account_import.import_accounts)

Flag = bool | None
NO_FLAG = {"pop": True, "smtp": True, "relay": True, "locked": False, "must_change": False}

SAY = (
    "say what to set: --smtp or --no-smtp, --relay or --no-relay, --pop or --no-pop, "
    "--locked or --unlocked, --must-change, --name, --clear"
)


@accounts.command("add")
@asking
def add(
    ask: Asking,
    address: Address,
    password_stdin: FromStdin = False,
    name: Annotated[str, typer.Option(help="Of the person.")] = "",
    quota: Annotated[str | None, typer.Option(help="Default: the domain's limit.")] = None,
    old_mail: Annotated[
        bool, typer.Option("--old-mail", help="With the mail of the account that had the name.")
    ] = False,
) -> None:
    """Add a mailbox; asks for its password."""
    new: dict[str, Any] = {"address": address, "name": name, "old_mail": old_mail}
    new |= {} if quota is None else {"quota": str(parse_quota(quota))}
    added = ask.api.post("accounts", json=new | {"password": password(password_stdin)})
    ask.say(added, [f"added {added['address']}"])


@accounts.command("passwd")
@asking
def set_password(
    ask: Asking,
    address: Address,
    password_stdin: FromStdin = False,
    reversible: Annotated[
        bool, typer.Option("--reversible", help="Keep it readable, so that CRAM-MD5 works.")
    ] = False,
) -> None:
    """Change a mailbox's password."""
    new = {"password": password(password_stdin), "reversible": reversible}
    ask.api.put("accounts", address, "password", json=new)
    ask.say({"changed": address}, [f"changed the password of {address}"])


@accounts.command("set")
@asking
def set_rights(  # noqa: PLR0913 - its options
    ask: Asking,
    address: Address,
    pop: Annotated[Flag, typer.Option("--pop/--no-pop", " /-p", help="May read by POP3.")] = None,
    smtp: Annotated[
        Flag, typer.Option("--smtp/--no-smtp", " /-s", help="May log in at SMTP (AUTH).")
    ] = None,
    relay: Annotated[
        Flag, typer.Option("--relay/--no-relay", " /-r", help="A POP3 login opens the relay.")
    ] = None,
    locked: Annotated[
        Flag, typer.Option("--locked/--unlocked", "-b", help="No login; mail is refused.")
    ] = None,
    must_change: Annotated[
        Flag, typer.Option("--must-change/--no-must-change", help="No login with this password.")
    ] = None,
    name: Annotated[str | None, typer.Option(help="Of the person.")] = None,
    clear: Annotated[
        bool, typer.Option("--clear", "-x", help="Before the others: it may do everything.")
    ] = False,
) -> None:
    """Say what a mailbox's user may do; -p -s -r -b -x as vmoduser has them."""
    given: dict[str, Any] = {
        "pop": pop,
        "smtp": smtp,
        "relay": relay,
        "locked": locked,
        "must_change": must_change,
        "name": name,
    }
    wanted = NO_FLAG if clear else {}
    wanted = wanted | {what: value for what, value in given.items() if value is not None}
    if not wanted:
        raise BadInput(SAY)
    found = ask.api.patch("accounts", address, json=wanted)
    ask.say(found, [f"{address}: {' '.join(found['flags']) or 'may do everything'}"])


@accounts.command("show")
@asking
def show(ask: Asking, address: Address) -> None:
    """A mailbox: name, folder, flags, quota and use, forward."""
    found = ask.api.get("accounts", address)
    use = used(ask.api, found["address"])
    ask.say(found | {"used": use}, directory_lines.account(found, use))


@accounts.command("quota")
@asking
def quota(
    ask: Asking,
    address: Address,
    quota: Quota = "",
) -> None:
    """Show or set how much the mails of a mailbox may take."""
    if quota:
        found = ask.api.put("accounts", address, "quota", json={"quota": str(parse_quota(quota))})
    else:
        found = ask.api.get("accounts", address, "quota")
    ask.say(found, [found["quota"]])


@accounts.command("forward")
@asking
def forward(
    ask: Asking,
    address: Address,
    to: Annotated[list[str] | None, typer.Argument(metavar="TO")] = None,
    keep: Annotated[
        Flag, typer.Option("--keep/--no-keep", help="Whether a copy stays here.")
    ] = None,
    off: Annotated[bool, typer.Option("--off", help="Forward no more.")] = False,
) -> None:
    """Show or set who else gets a mailbox's mail."""
    if off and (to or keep is not None):
        raise BadInput("--off stands alone: without a forward every mail stays here")
    wanted: dict[str, Any] = {"forward": to} if to else {}
    wanted |= {} if keep is None else {"keep": keep}
    wanted |= {"forward": [], "keep": True} if off else {}
    if wanted:
        found = ask.api.patch("accounts", address, json=wanted)
    else:
        found = ask.api.get("accounts", address)
    ask.say({name: found[name] for name in ("forward", "keep")}, directory_lines.forward(found))


@accounts.command("hold")
@asking
def hold(ask: Asking, address: Address) -> None:
    """Let mail for a mailbox wait in the queue, while you work on its folder."""
    done = ask.api.patch("accounts", address, json={"hold": True})
    ask.say(done, [f"mail for {address} waits in the queue"])


@accounts.command("release")
@asking
def release(ask: Asking, address: Address) -> None:
    """End that; what waits is tried now (what waits for its extensions, at its next attempt)."""
    done = ask.api.patch("accounts", address, json={"hold": False})
    box, _, domain = done["address"].rpartition("@")
    names = (domain, *ask.api.get("domains", domain)["aliases"])
    why = deliver_waiting(ask.api, [f"{box}@{name}" for name in names])
    ask.say(done, [f"mail for {address} is delivered"])
    if why:
        output.note(why)


@accounts.command("remove")
@asking
def remove(ask: Asking, address: Address) -> None:
    """Remove a mailbox's account. Its mail stays on disk."""
    home = ask.api.get("accounts", address)["home"]
    ask.api.delete("accounts", address)
    ask.say({"removed": address, "home": home}, [f"removed {address}"])
    output.note(f"its mail stays on disk: {home}/Maildir below the mail root")


@accounts.command("list")
@asking
def list_all(
    ask: Asking, domain: Annotated[str, typer.Argument(help="Only of this domain.")] = ""
) -> None:
    """List the mailboxes."""
    say_addresses(ask, "account", domain)
