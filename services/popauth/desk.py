"""All that the resources under /v1 are made of, in one piece."""

from dataclasses import dataclass

from services.popauth.accounts import Accounts
from services.popauth.addresses import Addresses
from services.popauth.aliases import Aliases
from services.popauth.brake import Brake
from services.popauth.bulk import Bulk
from services.popauth.checks import mail_domain
from services.popauth.domains import Domains
from services.popauth.history import History
from services.popauth.listing import Listing
from services.popauth.lists import Lists
from services.popauth.passwords import Passwords
from services.popauth.tokens import Tokens
from services.popauth.used import Used
from tubepost.address import Address
from tubepost.admin import Principal
from tubepost.control import Control
from tubepost.directory import Directory
from tubepost.local_values import EXTENSIONS
from tubepost.ports import Bus, Clock
from tubepost.resolver import Resolver


@dataclass(frozen=True, slots=True)
class Desk:
    """`tokens.run` has to run."""

    directory: Directory
    control: Control
    addresses: Addresses
    accounts: Accounts
    aliases: Aliases
    lists: Lists
    domains: Domains
    bulk: Bulk
    listing: Listing
    history: History
    tokens: Tokens
    used: Used
    resolver: Resolver
    brake: Brake

    def check(self, who: Principal, text: str) -> Address:
        """The address that a text stands for, where `who` may know and change what is there."""
        address = self.addresses.own(text)
        who.check(address.domain)
        return address

    def asked(self, who: Principal, domain: str) -> list[str]:
        """The domains a question is about: one, or all of the caller's; "" = all there are."""
        if not domain:
            return [""] if who.domains is None else sorted(who.domains)
        name = self.domain_name(domain)
        who.check(name)
        return [name]

    def domain_name(self, text: str) -> str:
        """A domain's own name, by any of its names."""
        name = mail_domain(text)
        domain = self.directory.domain(name)
        return domain.alias_of or name if domain else name


def desk(
    bus: Bus, directory: Directory, control: Control, passwords: Passwords, clock: Clock
) -> Desk:
    """On what popauth has."""
    accounts, tokens = Accounts(bus, directory, passwords), Tokens(bus, clock)
    addresses = accounts.addresses
    return Desk(
        directory,
        control,
        addresses,
        accounts,
        Aliases(addresses),
        Lists(addresses),
        Domains(addresses, directory, tokens.for_domain, lambda: control.get(EXTENSIONS)),
        Bulk(addresses, passwords),
        addresses.listing,
        History(bus),
        tokens,
        Used(bus),
        Resolver(directory, control),
        Brake(clock),
    )
