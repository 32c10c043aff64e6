"""What an outcome of the SMTP machine says, in one place: qmail-remote's words where it has any.

Each is filled in by `str.format`. `tubepost.outcome.peer_in` reads the peer's address back out of
them. A peer's own words follow in REMOTE_SAID. Pure; tests/conversations hears every one of them.
"""

GREETING_FAILED = "Connected to {peer} but greeting failed"
SENDER_REJECTED = "Connected to {peer} but sender was rejected"
RECIPIENT_DISLIKED = "{peer} does not like recipient"
GIVING_UP = "Giving up on {peer}."
DATA_FAILED = "{peer} failed on DATA command"
MESSAGE_FAILED = "{peer} failed after I sent the message"
ACCEPTED = "{peer} accepted message."

BROKEN = "Connected to {peer} but {problem}. (#{status})"
IN_DOUBT = "Connected to {peer} but {problem}. Possible duplicate! (#{status})"
"""Between the final dot and its reply the peer may have taken the mail (RFC 1047, RMT-8)."""

DIED = "connection died"
OUT_OF_TURN = "it spoke out of turn"
NO_SENSE = "the reply made no sense: {error}"
RSET_REFUSED = "it refused RSET"
HELO_UNSENDABLE = "our EHLO name has a character in it that ends a command; see helohost"
LOGIN_REFUSED = "Connected to {peer} but this relay refused the login of smtproutes"
LOGIN_UNKNOWN = "this relay offers neither AUTH PLAIN nor LOGIN, and smtproutes has a login for it"
LOGIN_UNSENDABLE = "the login of smtproutes has a NUL in it"
LOGIN_UNSAFE = "this relay offers no TLS, and the login of smtproutes is not sent in the clear"

UNSENDABLE = "{what} {problem}; I can't send it. (#{status})"
SENDER, RECIPIENT, HEADER = "The sender's address", "The recipient's address", "The mail's header"
CONTROL_CHARACTER = "has a control character in it"
BRACKET = "has a blank or a bracket in it that is not quoted"
NOT_ASCII = "is not ASCII and {peer} does not offer SMTPUTF8"
TOO_BIG = "Sorry, {peer} takes mails of at most {limit} octets and this one has {size}. (#5.3.4)"
