"""A mail through a platform in one process: in by SMTP, out by POP3. Runs in `make test`."""

import poplib

from tests.e2e.platform import PASSWORD, NewPlatform, until


def test_a_mail_goes_in_by_smtp_and_out_by_pop3(new_platform: NewPlatform) -> None:
    platform = new_platform().start().with_accounts("joe")
    with platform.smtp() as client:
        client.sendmail("ann@example.net", ["joe@example.org"], "Subject: hello\r\n\r\nHi Joe.\r\n")
    until(lambda: len(platform.maildir("joe@example.org")) == 1, 20, "the delivery")
    pop = poplib.POP3(*platform.addresses["pop3"], timeout=20)
    pop.user("joe@example.org")
    pop.pass_(PASSWORD)
    lines = pop.retr(1)[1]
    pop.dele(1)
    pop.quit()
    assert lines[:2] == [b"Return-Path: <ann@example.net>", b"Delivered-To: joe@example.org"]
    assert lines[-3:] == [b"Subject: hello", b"", b"Hi Joe."]
    platform.wait_for_empty_queue(10)
    assert platform.stop() == 0
    assert platform.maildir("joe@example.org") == []
