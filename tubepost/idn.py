"""Domain names in the writing of their users, as DNS has them (RFC 5890, 5891). Pure."""

import idna

from tubepost.errors import BadInput


class DomainError(BadInput):
    """No internationalised domain name."""


def a_labels(domain: str) -> str:
    """`müller.example` as `xn--mller-kva.example`: for routing, comparing and everybody's DNS.

    Capitals and wide forms are taken for what they mean (UTS 46), as a person types them; nothing
    else is guessed. Raises DomainError.
    """
    try:
        return idna.encode(domain, uts46=True).decode("ascii")
    except (idna.IDNAError, UnicodeError) as error:  # a label of punycode can be no Unicode at all
        raise DomainError("not an internationalised domain name") from error
