"""local as a process of its own that dies by SIGKILL around its outcome or its acknowledgement.

`python -m tests.local.dying_local URL MAIL_ROOT before|after METHOD`
"""

import asyncio
import os
import signal
import sys
from pathlib import Path
from typing import Any

from services.local.app import serve
from services.local.settings import Settings
from tubepost.admin import Health, create_app
from tubepost.mailstore import MailStore
from tubepost.nats_pull import NatsJob
from tubepost.runtime import Context

METHODS: dict[str, type] = {"settle": MailStore, "finish": NatsJob}


def die(moment: str, method: str) -> None:
    owner = METHODS[method]
    real = getattr(owner, method)

    async def dying(*args: Any, **named: Any) -> Any:
        if moment == "after":
            await real(*args, **named)
        os.kill(os.getpid(), signal.SIGKILL)

    setattr(owner, method, dying)


def main(url: str, root: str, moment: str, method: str) -> None:
    die(moment, method)
    health = Health()
    context = Context("local", create_app(health, ""), health, asyncio.Event())
    settings = Settings(nats_url=url, mail_root=Path(root), shards=2)
    asyncio.run(serve(settings, context))


if __name__ == "__main__":
    main(*sys.argv[1:])
