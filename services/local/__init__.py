"""local delivers to Maildirs: the last hop.

In: jobs `d.local.>`, records `q.>`, bodies `mail.>`, the directory. Out: outcomes `q.>`, files
below the mail root, which it shares with popauth alone. It must never bounce because
something of ours is away, nor call a mail delivered before it is on disk.
"""
