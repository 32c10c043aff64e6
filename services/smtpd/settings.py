"""What smtpd reads from its environment."""

from typing import Annotated

from pydantic import AfterValidator, Field

from services.smtpd import places
from tubepost.errors import BadInput
from tubepost.settings import DnsSettings, Listen, TlsSettings


def _listeners(text: str) -> str:
    try:
        places.parse(text)
    except BadInput as error:
        raise ValueError(str(error)) from error
    return text


class Settings(TlsSettings, DnsSettings):
    """TUBEPOST_SMTP and so on."""

    smtp: Listen = Field("127.0.0.1:2525", description="HOST:PORT for mail from other hosts.")
    submission: Listen | None = Field(
        None, description="HOST:PORT for mail from users: STARTTLS and AUTH required."
    )
    data_memory: int = Field(
        268_435_456,
        ge=0,
        description="Octets of memory for mails being read, each counted twice; 0 = no limit.",
    )
    submissions: Listen | None = Field(
        None, description="HOST:PORT for mail from users: TLS from the first octet, then AUTH."
    )
    listeners: Annotated[str, AfterValidator(_listeners)] = Field(
        "", description="More listeners, blanks between: `NAME=KIND:HOST:PORT` or `...,proxy`."
    )
    reuse_port: bool = Field(
        False, description="Several smtpd processes may listen on one port (SO_REUSEPORT)."
    )
