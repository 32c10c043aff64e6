"""Whether this worker reaches anybody at all. Pure.

While no host answers, whichever is tried, the fault may be here: a dead line, a firewall. What is
met then is kept short and to itself: no wait grows, and the other workers hear nothing of it.
Else an hour without a line would be followed by another one in which hosts that are well are
left alone.
"""

DOUBTED = 5
"""Connections that failed one after the other, with none between them that came about."""


class Uplink:
    """`failures`: connections that failed since the last one that came about."""

    __slots__ = ("failures",)

    def __init__(self) -> None:
        self.failures = 0

    @property
    def doubted(self) -> bool:
        """Whether it may be us."""
        return self.failures >= DOUBTED

    def failed(self) -> bool:
        """No connection to some host. True where this is what makes it doubtful."""
        self.failures += 1
        return self.failures == DOUBTED

    def reached(self) -> bool:
        """A host took a connection. True where that ends a doubt."""
        doubted, self.failures = self.doubted, 0
        return doubted
