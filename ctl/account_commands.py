"""`tubepost domain` and `tubepost account`."""

import getpass
import sys
from typing import Annotated

import typer

from ctl import output
from ctl.client import Api
from ctl.output import Data, Json
from tubepost.errors import BadInput

domains = typer.Typer(help="Domains whose mail is delivered here.", no_args_is_help=True)
accounts = typer.Typer(help="Mailboxes.", no_args_is_help=True)

FromStdin = Annotated[bool, typer.Option("--password-stdin", help="Read it from standard input.")]


@domains.command("add")
def add_domain(domain: str, data: Data = None) -> None:
    """Add a domain."""
    output.lines([f"added {Api(data).post('domains', json={'name': domain})['name']}"])


@domains.command("remove")
def remove_domain(domain: str, data: Data = None) -> None:
    """Remove a domain that has no accounts."""
    Api(data).delete("domains", domain)
    output.lines([f"removed {domain}"])


@domains.command("list")
def list_domains(data: Data = None, json: Json = False) -> None:
    """List the domains."""
    found = Api(data).get("domains")
    output.as_json(found) if json else output.lines(found)


@accounts.command("add")
def add_account(address: str, data: Data = None, password_stdin: FromStdin = False) -> None:
    """Add a mailbox; asks for its password."""
    api = Api(data)
    new = {"address": address, "password": _password(password_stdin)}
    output.lines([f"added {api.post('accounts', json=new)['address']}"])


@accounts.command("passwd")
def set_password(
    address: str,
    data: Data = None,
    password_stdin: FromStdin = False,
    reversible: Annotated[
        bool, typer.Option("--reversible", help="Keep it readable, so that CRAM-MD5 works.")
    ] = False,
) -> None:
    """Change a mailbox's password."""
    api = Api(data)
    new = {"password": _password(password_stdin), "reversible": reversible}
    api.put("accounts", address, "password", json=new)
    output.lines([f"changed the password of {address}"])


@accounts.command("set")
def set_rights(
    address: str,
    data: Data = None,
    smtp: Annotated[bool | None, typer.Option(help="May log in at SMTP (AUTH).")] = None,
    relay: Annotated[bool | None, typer.Option(help="A POP3 login opens the relay.")] = None,
) -> None:
    """Say what a mailbox's user may do."""
    given = {"smtp": smtp, "relay": relay}
    wanted = {name: may for name, may in given.items() if may is not None}
    if not wanted:
        raise BadInput("say what to set: --smtp or --no-smtp, --relay or --no-relay")
    flags = Api(data).patch("accounts", address, json=wanted)["flags"]
    output.lines([f"{address}: {' '.join(flags) or 'may do everything'}"])


@accounts.command("quota")
def quota(
    address: str,
    quota: Annotated[str, typer.Argument(help="10M, 500K, 1000000S or NOQUOTA.")] = "",
    data: Data = None,
) -> None:
    """Show or set how much the mails of a mailbox may take; looked at when mail comes in."""
    api = Api(data)
    if quota:
        api.put("accounts", address, "quota", json={"quota": quota})
    output.lines([api.get("accounts", address, "quota")["quota"]])


@accounts.command("remove")
def remove_account(address: str, data: Data = None) -> None:
    """Remove a mailbox's account. Its mail stays on disk."""
    Api(data).delete("accounts", address)
    output.lines([f"removed {address}"])


@accounts.command("list")
def list_accounts(
    domain: Annotated[str, typer.Argument(help="Only of this domain.")] = "",
    data: Data = None,
    json: Json = False,
) -> None:
    """List the mailboxes."""
    found = Api(data).get("accounts", domain=domain)
    output.as_json(found) if json else output.lines(found)


def _password(from_stdin: bool) -> str:
    if from_stdin:
        return sys.stdin.readline().rstrip("\r\n")
    if not sys.stdin.isatty():
        raise BadInput("standard input is not a terminal: use --password-stdin")
    first, second = getpass.getpass("Password: "), getpass.getpass("Again: ")
    if first != second:
        raise BadInput("the two passwords differ")
    return first
