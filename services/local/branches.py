"""What becomes of a recipient whose mail goes several ways: one outcome made of several. Pure.

While one branch has to be tried again, so does the recipient, and what is done is noted. A branch
that failed is not: it fails again, so that the bounce comes when no branch waits any more.
"""

import re
from collections.abc import Sequence
from dataclasses import replace

from tubepost.outcome import Deferred, Delivered, Failed, Outcome

_DID = re.compile(r"did_(\d+)\+(\d+)\+(\d+)/")


def did(*, local: int = 0, forwards: int = 0) -> str:
    """qmail-local's word of success: mailboxes, forwards, and programs, of which we have none."""
    return f"did_{local}+{forwards}+0/"


def merged(tried: Sequence[tuple[str, Outcome]]) -> Outcome:
    """One outcome of those of the actions that were tried, each with the action's name."""
    deferred = [o for _, o in tried if isinstance(o, Deferred)]
    failed = [o for _, o in tried if isinstance(o, Failed)]
    if deferred:
        return replace(deferred[0], text=_said([*deferred, *failed]), done=_done(tried))
    if failed:
        return replace(failed[0], text=_said(failed))
    return _all_done([o for _, o in tried if isinstance(o, Delivered)])


def _done(tried: Sequence[tuple[str, Outcome]]) -> tuple[str, ...]:
    """A name that two actions have is done when both are."""
    left = {name for name, o in tried if not isinstance(o, Delivered)}
    return tuple(name for name, _ in tried if name not in left)


def _said(outcomes: Sequence[Outcome]) -> str:
    return "/".join(dict.fromkeys(o.text for o in outcomes))


def _all_done(outcomes: Sequence[Delivered]) -> Delivered:
    """`reports`: only where nobody is left for whom we have to tell the sender ourselves."""
    counts = [_DID.fullmatch(o.text) for o in outcomes]
    local, forwards = (sum(int(c[n]) for c in counts if c) for n in (1, 2))
    reports = bool(outcomes) and all(o.reports for o in outcomes)
    return Delivered(text=did(local=local, forwards=forwards), reports=reports)
