"""The terms of a session: how patient it is, and when it may say a login."""

import pytest

from services.remote.smtp.events import Phase
from services.remote.terms import PATIENCE, Source, Terms
from tubepost.smtproutes import Login
from tubepost.tls_policy import Level, TlsPolicy

RFC_5321 = {
    Phase.BANNER: 300,
    Phase.MAIL: 300,
    Phase.RCPT: 300,
    Phase.DATA: 120,
    Phase.BODY: 180,
    Phase.FINAL_DOT: 600,
}
"""4.5.3.2: the least that a client waits."""


def test_every_phase_has_its_time() -> None:
    assert set(PATIENCE) == set(Phase) - {Phase.CLOSED, Phase.IDLE}


def test_no_phase_has_less_than_the_rfc_says() -> None:
    assert {phase: PATIENCE[phase] for phase in RFC_5321} == RFC_5321


@pytest.mark.parametrize("level", Level)
def test_a_login_goes_in_the_clear_only_where_tls_is_no_must(level: Level) -> None:
    terms = Terms(source=Source(helo="me.example"), tls=TlsPolicy(level), login=Login("u", "p"))
    assert terms.dialect.login_in_clear == (level in (Level.NONE, Level.MAY))
    assert "'p'" not in repr(terms)
