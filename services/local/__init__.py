"""local delivers to Maildirs, and sends on what aliases, accounts and lists want elsewhere.

In: jobs `d.local.>`, records `q.>`, bodies `mail.>`, the directory. Out: outcomes and new mails
`q.>`, `mail.>`; files below the mail root, which it shares with popauth alone. It must never
bounce because something of ours is away, nor call a mail delivered before it is on disk.
"""
