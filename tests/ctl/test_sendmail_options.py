"""The options of sendmail, as programs give them."""

import pytest

from ctl.sendmail import until_dot
from ctl.sendmail_options import Options, parse
from tubepost.errors import BadInput


@pytest.mark.parametrize(
    ("line", "options"),
    [
        ("-t -i", Options(from_header=True, dots=False)),  # PHP
        ("-ti", Options(from_header=True, dots=False)),
        (
            "-FCronDaemon -i -B8BITMIME -oem root",  # cron
            Options(name="CronDaemon", dots=False, recipients=("root",)),
        ),
        ("-i a@b.c d@e.f", Options(dots=False, recipients=("a@b.c", "d@e.f"))),  # git send-email
        ("-oem -oi -f a@b.c -- x@y.z", Options(sender="a@b.c", dots=False, recipients=("x@y.z",))),
        ("-oi -oem -r a@b.c x", Options(sender="a@b.c", dots=False, recipients=("x",))),  # mailx
        ("-f <> x", Options(sender="", recipients=("x",))),
        ("-fa@b.c x", Options(sender="a@b.c", recipients=("x",))),
        (
            "-N never -R hdrs -V e1 x",
            Options(notify="never", ret="hdrs", envid="e1", recipients=("x",)),
        ),
        ("-om -odb -oee -v -n -m -x -h 3 -L tag -O DeliveryMode=b x", Options(recipients=("x",))),
        ("-bm x", Options(recipients=("x",))),
        ("-bp", Options(mode="p")),
        ("-bs", Options(mode="s")),
        ("x -t", Options(recipients=("x", "-t"))),
    ],
)
def test_what_is_taken(line: str, options: Options) -> None:
    assert parse(line.split()) == options


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("-bd", "-bd is not for this sendmail"),
        ("-bi", "-bi is not for this sendmail"),
        ("-bt", "-bt is not"),
        ("-bv x", "-bv is not"),
        ("-q", "-q is not for this sendmail"),
        ("-q30m", "-q is not"),
        ("-f", "-f needs a value"),
        ("-Z x", "-Z is no option"),
        ("-tZ", "-Z is no option"),
    ],
)
def test_what_is_refused(line: str, text: str) -> None:
    with pytest.raises(BadInput, match=text):
        parse(line.split())


@pytest.mark.parametrize(
    ("raw", "kept"),
    [
        (b"To: a\n\nx\n.\ny\n", b"To: a\n\nx\n"),
        (b"To: a\r\n\r\nx\r\n.\r\ny\r\n", b"To: a\n\nx\n"),
        (b".\nx\n", b""),
        (b"x\n..\n. \n.x\n", b"x\n..\n. \n.x\n"),
        (b"x\n.", b"x\n."),
    ],
)
def test_a_line_of_one_dot_ends_the_mail(raw: bytes, kept: bytes) -> None:
    assert until_dot(raw) == kept
