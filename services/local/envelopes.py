"""The envelope with which an alias or an account sends a mail on (LCL-8, RFC 3461 5.2.7). Pure."""

from tubepost import dsn, verp
from tubepost.delivery import Mail
from tubepost.record import Envelope, Wish
from tubepost.resolution import Forward


def sent_on(mail: Mail, recipient: str, action: Forward, *, alone: bool) -> Envelope:
    """What goes to `action.to` of the mail that came for `recipient`.

    `alone`: nothing else is done with it. With an owner it is another's mail, as a list's is: he
    gets the reports, and what the first sender wanted to be told goes no further.
    """
    to = _each_once(action.to)
    wide = mail.smtputf8 or not "".join((mail.sender, recipient, action.owner, *to)).isascii()
    if _is_owned(mail, action):
        return Envelope(_owner(action), to, smtputf8=wide)
    wish = mail.wishes.get(recipient)
    if wish and not (alone and len(to) == 1):
        wish = Wish(_without_success(wish.notify), wish.orcpt)
    wishes = dict.fromkeys(to, wish) if wish else {}
    return Envelope(mail.sender, to, wishes, mail.ret, mail.envid, wide)


def passes_wishes_on(mail: Mail, action: Forward, *, alone: bool) -> bool:
    """Whether whoever gets it next tells the sender of success; else we do."""
    return alone and len(_each_once(action.to)) == 1 and not _is_owned(mail, action)


def _is_owned(mail: Mail, action: Forward) -> bool:
    """What has nobody to be told stays so: a bounce never becomes a mail that can bounce."""
    return bool(action.owner) and dsn.answerable(mail.sender)


def _owner(action: Forward) -> str:
    box, _, host = action.owner.rpartition("@")
    return f"{box}-@{host}{verp.ENDING}" if action.verp else action.owner


def _without_success(notify: str) -> str:
    """Several get it, or a copy stays: we have told the sender already."""
    if not notify:
        return ""
    return ",".join(word for word in notify.split(",") if word != "SUCCESS") or "NEVER"


def _each_once(addresses: tuple[str, ...]) -> tuple[str, ...]:
    """In whatever case: mailboxes do not differ by it."""
    found: dict[str, str] = {}
    for address in addresses:
        found.setdefault(address.lower(), address)
    return tuple(found.values())
