"""popauth answers "who is this?": POP3, accounts, passwords, and the relay list.

In: POP3 on its listeners, `auth.check` from smtpd, /v1 from operators. Out: the buckets directory,
control and relay. It shares the mail root with local alone.
It must never let a password out (not in a log, not in an answer), call an account wrong because
something behind is away, or open the relay for an address that stands for many.
"""
