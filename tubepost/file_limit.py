"""How many files this process may open: each session is one."""

import resource

WANTED = 65_536


def raise_soft(wanted: int = WANTED) -> None:
    """Raises the soft limit of descriptors towards `wanted`, as far as the hard one allows.

    Many systems begin with 1024, which is less than the sessions that are allowed by default.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY:
        wanted = min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
