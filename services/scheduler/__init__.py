"""scheduler owns the queue: what is delivered next, when, and how much at once.

In: the records `q.>` (headers only), hints `w.done.*`, requests `ctl.*`. Out: jobs `d.>`, bounces
(`q.>`, `mail.>`), the end of records it settles. Its memory is a view that can be rebuilt from the
queue at any time. It must never deliver, read a body (but to bounce it), or trust its memory where
a record would be removed.
"""
