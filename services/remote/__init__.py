"""remote delivers to other hosts by SMTP: one attempt, one outcome for each recipient.

In: jobs `d.remote.>`, records `q.>`, bodies `mail.>`. Out: outcomes `q.>`, SMTP to the world.
It must never call a mail failed for a fault of DNS, of ours, or an unknown one; nor open more
connections to a destination than the scheduler handed out jobs for, an operator's probe apart.
"""
