"""What is in the directory, as the resources under /v1 show it. Pure."""

from services.popauth.counts import Counts
from services.popauth.models import (
    AccountShown,
    ActionShown,
    AliasShown,
    CountsShown,
    DomainShown,
    LimitsShown,
    ListShown,
    ResolutionShown,
)
from tubepost.directory_values import Account, Alias, Domain, Entry, MailingList
from tubepost.resolution import Action, Resolution


def of_domain(domain: Domain, counts: Counts, aliases: list[str]) -> DomainShown:
    """`aliases`: the other names it has."""
    limits = domain.limits
    return DomainShown(
        name=domain.name,
        alias_of=domain.alias_of,
        aliases=aliases,
        unknown=domain.unknown,
        hold=domain.hold,
        quota=str(domain.quota),
        limits=LimitsShown(
            accounts=limits.accounts,
            aliases=limits.aliases,
            lists=limits.lists,
            quota=str(limits.quota),
            flags=sorted(limits.flags),
        ),
        counts=CountsShown(
            accounts=counts.accounts,
            aliases=counts.aliases,
            lists=counts.lists,
            domains=counts.domains,
        ),
    )


def of_account(account: Account, domain: Domain | None) -> AccountShown:
    """Without its password's hash."""
    return AccountShown(
        address=account.address,
        name=account.name,
        home=account.home,
        flags=sorted(account.flags),
        domain_flags=sorted(domain.limits.flags) if domain else [],
        quota=str(account.quota),
        forward=list(account.forward),
        keep=account.keep,
    )


def of_alias(alias: Alias) -> AliasShown:
    return AliasShown(address=alias.address, to=list(alias.to), owner=alias.owner, verp=alias.verp)


def of_list(found: MailingList) -> ListShown:
    return ListShown(
        address=found.address,
        owner=found.owner,
        members=list(found.members),
        posting=found.posting,
        moderators=list(found.moderators),
        name=found.name,
    )


def of_entry(entry: Entry, domain: Domain | None) -> AccountShown | AliasShown | ListShown:
    match entry:
        case Account():
            return of_account(entry, domain)
        case Alias():
            return of_alias(entry)
    return of_list(entry)


def of_resolution(found: Resolution) -> ResolutionShown:
    return ResolutionShown(
        address=found.address,
        rule=found.rule,
        exists=found.exists,
        actions=[_of_action(action) for action in found.actions],
    )


def _of_action(action: Action) -> ActionShown:
    """Whatever an action has of the fields that are shown; an account and a list by their names."""
    shown = ActionShown(name=action.name)
    for name in ActionShown.model_fields:
        value = getattr(action, name, None)
        if isinstance(value, Account):
            shown.account, shown.home = value.address, value.home
        elif isinstance(value, MailingList):
            shown.mailing_list = value.address
        elif isinstance(value, tuple):
            shown.to = list(value)
        elif value is not None:
            setattr(shown, name, value)
    return shown
