"""smtpd accepts mail. It trusts no client.

In: SMTP on its listeners, `POST /v1/messages`. Out: records `q.>` and bodies `mail.>`; requests on
`auth.check`. It reads the relay list, the directory and the control settings.
It must never answer 250 before the store said the mail is durable, relay for somebody it has no
reason to, or answer 5xx for a fault of ours.
"""
