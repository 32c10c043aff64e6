"""The command `tubepost`.

Errors are one line on stderr; exit code 2 for wrong use, 1 for the rest.
"""

import sys
from pathlib import Path
from typing import Annotated

import typer
from typer.exceptions import TyperException

from ctl import (
    account_commands,
    alias_commands,
    control_commands,
    destination_commands,
    directory_questions,
    domain_commands,
    list_commands,
    log_commands,
    queue_commands,
    queue_listing,
    quota_commands,
    relay_commands,
    reshard_command,
    send_command,
    suppression_commands,
    token_commands,
    why,
)
from ctl.client import Refused
from tubepost.errors import BadInput, TubepostError

app = typer.Typer(
    help="Tubepost: a mail platform of five services over NATS JetStream.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.add_typer(domain_commands.domains, name="domain")
app.add_typer(account_commands.accounts, name="account")
app.add_typer(alias_commands.aliases, name="alias")
app.add_typer(list_commands.lists, name="list")
app.add_typer(quota_commands.quotas, name="quota")
app.add_typer(token_commands.tokens, name="token")
app.add_typer(control_commands.control, name="control")
app.add_typer(relay_commands.relay, name="relay")
app.add_typer(queue_commands.queue, name="queue")
app.add_typer(suppression_commands.suppression, name="suppression")
app.add_typer(destination_commands.destinations, name="destinations")
app.command("qstat")(queue_listing.qstat)
app.command("qread")(queue_listing.qread)
app.command("send")(send_command.send)
app.command("log")(log_commands.log)
app.command("trace")(log_commands.trace)
app.command("history")(directory_questions.history)
app.command("resolve")(directory_questions.resolve)
app.command("why")(why.why)
app.command("reshard")(reshard_command.reshard)


@app.command("up")
def up_command(  # noqa: PLR0913 - its options
    data: Annotated[Path, typer.Option(help="Folder of everything that lasts.")] = Path("data"),
    smtp: Annotated[str, typer.Option(metavar="HOST:PORT")] = "127.0.0.1:2525",
    submission: Annotated[str, typer.Option(metavar="HOST:PORT")] = "127.0.0.1:2587",
    submissions: Annotated[str, typer.Option(metavar="HOST:PORT")] = "127.0.0.1:2465",
    pop3: Annotated[str, typer.Option(metavar="HOST:PORT")] = "127.0.0.1:2110",
    pop3s: Annotated[str, typer.Option(metavar="HOST:PORT")] = "127.0.0.1:2995",
    admin: Annotated[str, typer.Option(metavar="HOST:PORT")] = "127.0.0.1:8025",
    nats: Annotated[str | None, typer.Option(metavar="URL", help="Use this server.")] = None,
    processes: Annotated[bool, typer.Option(help="One process for each service.")] = False,
    smtpd_workers: Annotated[
        int, typer.Option(min=1, max=64, help="smtpd processes on the same ports.")
    ] = 1,
    shards: Annotated[int, typer.Option(min=1, max=64, help="Shards of the queue.")] = 2,
    drain: Annotated[float, typer.Option(min=0, help="Seconds to end running work.")] = 30.0,
    log_level: Annotated[str, typer.Option(help="debug, info, warning, error.")] = "info",
) -> None:
    """Run the whole platform until Ctrl-C or SIGTERM."""
    from ctl.up import Options, up  # here: the other commands need none of the services

    sys.exit(
        up(
            Options(
                data=data,
                smtp=smtp,
                submission=submission,
                submissions=submissions,
                pop3=pop3,
                pop3s=pop3s,
                admin=admin,
                nats=nats,
                processes=processes,
                smtpd_workers=smtpd_workers,
                shards=shards,
                drain=drain,
                log_level=log_level,
            )
        )
    )


def main() -> int:
    """Runs the command; the exit code."""
    try:
        code = app(standalone_mode=False)
    except TyperException as error:
        return _say(error.format_message(), 2)
    except BadInput as error:
        return _say(str(error), 2)
    except (Refused, TubepostError) as error:
        return _say(str(error), 1)
    except (OSError, BrokenPipeError) as error:
        return _say(str(error), 1)
    except (typer.Abort, KeyboardInterrupt):
        return _say("stopped", 130)
    return code if isinstance(code, int) else 0  # an int: what typer.Exit said


def _say(text: str, code: int) -> int:
    line = " ".join(text.split())
    sys.stderr.write(f"tubepost: {line}\n")
    return code
