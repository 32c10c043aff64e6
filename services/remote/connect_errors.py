"""Why a connection could not be begun, and whether that is a fault of this machine.

What is our own fault says nothing about the other host.
"""

import errno
import os
import socket

_OURS = {
    errno.EADDRINUSE: "no free port here",
    errno.EMFILE: "too many open files here",
    errno.ENFILE: "too many open files here",
    errno.ENOBUFS: "no memory for a connection here",
    errno.ENOMEM: "no memory for a connection here",
    errno.EPERM: "forbidden by this machine's firewall",
    errno.EACCES: "forbidden by this machine's firewall",
    errno.EINVAL: "no connection can be made from that source address",
    errno.EAFNOSUPPORT: "this machine does not speak that protocol",
}


def local_fault(error: OSError, ip: str, source: str) -> str:
    """What is wrong here, "" where it is not us. `source`: where we came from, "" = any address."""
    if error.errno == errno.EADDRNOTAVAIL:
        missing = source and not _has_address(source)
        return f"this machine has no address {source}" if missing else _OURS[errno.EADDRINUSE]
    if error.errno in (errno.ENETUNREACH, errno.EHOSTUNREACH) and not _has_route(ip):
        return f"no IPv{6 if ':' in ip else 4} route from here"
    return _OURS.get(error.errno or 0, "")


def reason(error: OSError) -> str:
    """In a few words."""
    if isinstance(error, TimeoutError):
        return "timed out"
    return os.strerror(error.errno).lower() if error.errno else str(error)


def _has_route(ip: str) -> bool:
    """Whether the kernel knows where packets for `ip` go. None is sent: UDP has no handshake."""
    try:
        with _datagrams(ip) as probe:
            probe.connect((ip, 25))
    except OSError:
        return False
    return True


def _has_address(ip: str) -> bool:
    try:
        with _datagrams(ip) as probe:
            probe.bind((ip, 0))
    except OSError:
        return False
    return True


def _datagrams(ip: str) -> socket.socket:
    return socket.socket(socket.AF_INET6 if ":" in ip else socket.AF_INET, socket.SOCK_DGRAM)
