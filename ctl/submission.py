"""Gives the platform a mail over HTTP.

With the standard library alone: `sendmail` is to start quickly.
"""

import http.client
import json
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlencode, urlsplit

from ctl.place import Refused, find

MOST_OCTETS = 60_000
"""Of a path: the platform's HTTP server takes no longer line."""

SECONDS = 60.0
"""The platform may wait 20 s for a store that elects a leader."""


def submit(text: bytes, query: Sequence[tuple[str, str]], data: Path | None) -> str:
    """The mail's id in the queue. `query`: as POST /v1/messages has it. Raises Refused."""
    wanted = urlencode(query)
    if len(wanted) > MOST_OCTETS:
        raise Refused("so many recipients are too many for one mail; make several, or a list", 413)
    base, token, where = find(data)
    url = urlsplit(base)
    secure = url.scheme == "https"
    connect = http.client.HTTPSConnection if secure else http.client.HTTPConnection
    connection = connect(url.netloc, timeout=SECONDS)
    headers = {"Content-Type": "message/rfc822", "Authorization": f"Bearer {token}".rstrip()}
    try:
        connection.request("POST", f"{url.path}/v1/messages?{wanted}", text, headers)
        answer = connection.getresponse()
        return _id(answer.status, answer.read(), where)
    except (OSError, http.client.HTTPException) as error:
        raise Refused(f"{where} does not answer ({error}); is `tubepost up` running?") from error
    finally:
        connection.close()


def _id(status: int, body: bytes, where: str) -> str:
    try:
        said = json.loads(body)
        if status < 300:
            return str(said["id"])
        detail = str(said["detail"])
    except (ValueError, KeyError, TypeError) as error:
        raise Refused(f"{where} is not a tubepost: it answered {status}", status) from error
    raise Refused(detail, status)
