"""The whole story in one run: `make demo`. Starts Tubepost, uses it, stops it, checks each step.

It touches nothing but a temporary folder and loopback: free ports, its own nats-server, and a
second mail server ("the sink") that plays the rest of the world. Exit code 0 only if every step
did what its line says; the first that did not is named on stderr, and the exit code is 1.
"""

import asyncio
import contextlib
import json
import poplib
import select
import smtplib
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from aiosmtpd.smtp import SMTP, Envelope, Session

TUBEPOST = str(Path(sys.executable).parent / "tubepost")
JOE, PASSWORD = "joe@example.org", "correct horse battery"
FAR, DEAD = "ann@far.example", "bob@dead.example"
STRANGER = "127.0.0.2"
PATIENCE = 30.0


class StepFailed(Exception):
    """What did not happen, in one line."""


def main() -> int:
    """Runs the demonstration; the exit code."""
    try:
        with tempfile.TemporaryDirectory(prefix="tubepost-demo-") as folder:
            demonstrate(Path(folder) / "data")
    except (StepFailed, smtplib.SMTPException, poplib.error_proto, OSError) as error:
        sys.stderr.write(f"demo: FAILED: {error}\n")
        return 1
    say("Every step did what it says.")
    return 0


def demonstrate(data: Path) -> None:
    """All steps, on a new data folder."""
    title("1. Start: five services on an embedded nats-server")
    with running(data) as platform, sink() as far:
        title("2. A domain and a mailbox")
        platform.command("domain", "add", "example.org")
        platform.command("account", "add", JOE, "--password-stdin", stdin=PASSWORD)
        title("3. A mail in by SMTP, out by POP3")
        mail_in_and_out(platform)
        title("4. No open relay: mail for other hosts is refused")
        refused(platform, STRANGER)
        refused(platform, "127.0.0.1")
        say("   (Joe has logged in from 127.0.0.1 above, but a loopback or private address is")
        say("   never put on the relay list by itself: it may be a proxy, many clients in one.)")
        title("5. Allow loopback by name (off by default), and route two domains")
        platform.command("control", "set", "relaynetworks", "127.0.0.0/8")
        routes = [f"far.example:127.0.0.1:{far.port}", f"dead.example:127.0.0.1:{closed_port()}"]
        platform.command("control", "set", "smtproutes", *routes)
        title("6. A POP3 login opens the relay for its address, and for no other")
        log_in(platform).quit()
        listed = platform.command("relay", "list")
        step(listed.startswith(f"127.0.0.1\t{JOE}\t"), "the relay list has 127.0.0.1")
        relayed(platform, far)
        refused(platform, STRANGER)
        title("7. A dead destination: the mail waits in the queue")
        send(platform, "127.0.0.1", JOE, DEAD, "Subject: are you there?\r\n\r\nBob?\r\n")
        deferred(platform)
        title("8. Stop: SIGTERM drains")
        code = platform.stop()
        step(code == 0, f"exit code {code}")


# --- the steps


def mail_in_and_out(platform: "Platform") -> None:
    """Sends to Joe, waits for the delivery, reads it by POP3."""
    text = "From: ann@far.example\r\nTo: joe@example.org\r\nSubject: hello\r\n\r\nHi Joe.\r\n"
    send(platform, "127.0.0.1", FAR, JOE, text)
    give_up = time.monotonic() + PATIENCE
    while True:
        pop = log_in(platform)
        mails = pop.stat()[0]
        if mails or time.monotonic() > give_up:
            break
        pop.quit()
        time.sleep(0.1)  # POP3 has no way to tell: a client looks again
    step(mails == 1, f"POP3 STAT: {mails} mail")
    reply, lines, _ = pop.retr(1)
    say(f"   POP3 RETR: {reply.decode()}")
    for line in lines:
        say(f"      {line.decode()}")
    step(lines[-1] == b"Hi Joe.", "the text is the one that was sent")
    pop.dele(1)
    say(f"   POP3 DELE, QUIT: {pop.quit().decode()}")


def log_in(platform: "Platform") -> poplib.POP3:
    """A POP3 session of Joe's."""
    pop = poplib.POP3(*platform.address("pop3"), timeout=PATIENCE)
    pop.user(JOE)
    say(f"   POP3 login from 127.0.0.1: {pop.pass_(PASSWORD).decode()}")
    return pop


def send(platform: "Platform", source: str, sender: str, to: str, text: str) -> None:
    """One mail that has to be taken."""
    with client(platform, source) as smtp:
        smtp.helo("client.example")
        smtp.mail(sender)
        said = smtp.rcpt(to)
        step(said[0] == 250, f"SMTP from {source}, RCPT TO:<{to}>: {reply_text(said)}")
        said = smtp.data(text)
        step(said[0] == 250, f"SMTP DATA: {reply_text(said)}")


def refused(platform: "Platform", source: str) -> None:
    """One recipient that must be refused."""
    with client(platform, source) as smtp:
        smtp.helo("client.example")
        smtp.mail(JOE)
        said = smtp.rcpt(FAR)
        step(said[0] == 553, f"SMTP from {source}, RCPT TO:<{FAR}>: {reply_text(said)}")


def relayed(platform: "Platform", far: "Sink") -> None:
    """One mail to the sink, which must get it."""
    send(platform, "127.0.0.1", JOE, FAR, "Subject: out\r\n\r\nHello, world.\r\n")
    step(far.arrived.wait(PATIENCE), f"the sink has it: {far.what}")
    step(far.what == f"from <{JOE}> for <{FAR}>, 'Hello, world.'", "and it is the same mail")


def deferred(platform: "Platform") -> None:
    """Shows the queue once the first attempt is over."""
    give_up = time.monotonic() + PATIENCE
    recipient = {"attempts": 0}
    while not recipient["attempts"] and time.monotonic() < give_up:
        mails = json.loads(platform.command("qread", "--json", quiet=True))
        recipient = mails[0]["recipients"][0] if mails else recipient
    step(recipient["attempts"] == 1, "the first attempt has failed, for now:")
    say(f"      {recipient.get('reply')}")
    counts = platform.command("qstat")
    step(counts.startswith("messages in queue: 1\n"), "one mail is in the queue")
    step(DEAD in platform.command("qread"), f"and it is the one for {DEAD}")


# --- the platform and the rest of the world


class Platform:
    """A running `tubepost up`. `ready`: its one line on stdout."""

    def __init__(self, data: Path, process: "subprocess.Popen[str]", ready: str) -> None:
        self._data, self._process = data, process
        self._places = dict(word.split("=") for word in ready.split()[1:])

    def address(self, name: str) -> tuple[str, int]:
        """Where it listens."""
        host, _, port = self._places[name].rpartition(":")
        return host, int(port)

    def command(self, *args: str, stdin: str = "", quiet: bool = False) -> str:
        """Runs the command `tubepost`, which must succeed; what it printed."""
        done = subprocess.run(
            [TUBEPOST, *args, "--data", str(self._data)],
            input=stdin + "\n",
            capture_output=True,
            text=True,
            check=False,
        )
        if not quiet:
            say(f"   $ tubepost {' '.join(args)}")
            for line in (done.stdout + done.stderr).splitlines():
                say(f"      {line}")
        step(done.returncode == 0, "" if done.returncode == 0 else f"exit {done.returncode}")
        return done.stdout

    def stop(self) -> int:
        """SIGTERM; the exit code."""
        self._process.terminate()
        return self._process.wait(60)


@contextlib.contextmanager
def running(data: Path) -> Iterator[Platform]:
    """`tubepost up` on free ports, ready; it is gone at the end."""
    listeners = ("smtp", "submission", "submissions", "pop3", "pop3s", "admin")
    ports = [f"--{name}=127.0.0.1:0" for name in listeners]
    log = data.with_suffix(".log")
    with log.open("w") as stderr:
        process = subprocess.Popen(
            [TUBEPOST, "up", f"--data={data}", *ports],
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
        )
    assert process.stdout
    with process.stdout:
        try:
            spoke, _, _ = select.select([process.stdout], [], [], 60)
            ready = process.stdout.readline().strip() if spoke else ""
            step(ready.startswith("ready "), ready or f"no ready line; log: {tail(log)}")
            yield Platform(data, process, ready)
        finally:
            process.kill()
            process.wait()


def tail(log: Path) -> str:
    """The last line of a log."""
    return (log.read_text().splitlines() or ["(empty)"])[-1]


class Sink:
    """aiosmtpd's handler: takes every mail."""

    def __init__(self) -> None:
        self.port, self.what = 0, ""
        self.arrived = threading.Event()

    async def handle_DATA(  # noqa: N802 - aiosmtpd's name
        self, _server: SMTP, _session: Session, envelope: Envelope
    ) -> str:
        text = str((envelope.content or b"").splitlines()[-1], "ascii")
        self.what = f"from <{envelope.mail_from}> for <{envelope.rcpt_tos[0]}>, {text!r}"
        self.arrived.set()
        return "250 ok, thank you"


@contextlib.contextmanager
def sink() -> Iterator[Sink]:
    """Another mail server, in a thread of this process."""
    handler, loop = Sink(), asyncio.new_event_loop()
    listen = loop.create_server(lambda: SMTP(handler, loop=loop), "127.0.0.1", 0)
    server = loop.run_until_complete(listen)
    handler.port = server.sockets[0].getsockname()[1]
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    try:
        yield handler
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()


def client(platform: Platform, source: str) -> smtplib.SMTP:
    """An SMTP client that connects from the loopback address `source`."""
    host, port = platform.address("smtp")
    return smtplib.SMTP(host, port, timeout=PATIENCE, source_address=(source, 0))


def closed_port() -> int:
    """A port where nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


# --- the story


def title(text: str) -> None:
    """The beginning of a step."""
    say(f"\n{text}")


def say(text: str) -> None:
    """One line of the story."""
    print(text, flush=True)


def step(done: bool, text: str) -> None:
    """Says what came back; ends the demonstration where it is not what should have come."""
    if not done:
        raise StepFailed(text)
    if text:
        say(f"   {text}")


def reply_text(said: tuple[int, bytes]) -> str:
    """An SMTP reply as it came."""
    return f"{said[0]} {said[1].decode()}"


if __name__ == "__main__":
    sys.exit(main())
