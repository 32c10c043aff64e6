"""The exceptions that cross modules.

    TubepostError
    |- Unavailable      something behind us is away or slow: try again, answer 4xx, defer
    |- StoreFull        the bus refuses more mail: 452 at SMTP, finishing mail goes on
    |- Conflict         a compare-and-set lost: read again and decide again
    |- BadInput         somebody typed something wrong; the text says what to do
       |- NotFound      ... it names a thing that does not exist
       |- Exists        ... it names a thing that exists already

Adapters turn library errors into these; nothing above an adapter sees nats-py or dnspython.
An exception outside this tree is a bug of ours and counts as temporary for the mail in hand.
"""


class TubepostError(Exception):
    """Root of the tree."""


class Unavailable(TubepostError):
    """The bus, or something else we depend on, gave no usable answer in time."""


class StoreFull(TubepostError):
    """The store of the bus is at its high-water mark."""


class Conflict(TubepostError):
    """Somebody else changed the record since it was read."""


class BadInput(TubepostError):
    """What the caller gave is wrong. The text is one line for a person and says what to do."""


class NotFound(BadInput):
    """The named thing does not exist."""


class Exists(BadInput):
    """The named thing exists already."""
