"""The text for a recipient nobody may relay to, as an operator wants it worded. Pure.

The code in front of it is always 553. The template is filled in one pass: what a client puts into
an address is never read as a template.
"""

from string import Formatter

from tubepost.address import printable
from tubepost.errors import BadInput
from tubepost.setting import Lines, one_line

DEFAULT = "sorry, that domain isn't in my list of allowed rcpthosts (#5.7.1)"
NAMES = ("domain", "recipient", "client")

_CUT = 128
_ROOM = 500
"""Octets of text in a reply line: 512 with the code and CRLF (RFC 5321 4.5.3.1.5)."""


def parse(lines: Lines) -> str:
    """A template; it gets a status code at the end if it has none. Raises BadInput."""
    template = one_line(lines)
    if not template.endswith(")") or "(#" not in template:
        template += " (#5.7.1)"
    try:
        fields = [field for field in Formatter().parse(template) if field[1] is not None]
    except ValueError as error:
        raise BadInput(f"{template!r}: {error}; write {{{{ for a brace") from error
    for _, name, form, conversion in fields:
        if name not in NAMES or form or conversion:
            known = ", ".join(f"{{{name}}}" for name in NAMES)
            raise BadInput(f"{{{name}}} is not known here; there are {known}")
    if len(filled(template, *["x" * _CUT] * 3)) > _ROOM:
        raise BadInput(f"the text may have {_ROOM} characters with long addresses filled in")
    return template


def filled(template: str, domain: str, recipient: str, client: str) -> str:
    """The text of a reply. Values are cut: a reply is one line of 512 octets."""
    return template.format(
        domain=printable(domain, _CUT),
        recipient=printable(recipient, _CUT),
        client=printable(client, _CUT),
    )
