"""How long a plan lives: until a setting changes."""

from services.remote.plan import planner
from tests.fakes import MemoryBus
from tubepost.control import Control
from tubepost.tls_policy import Level, TlsPolicy


def a_control() -> Control:
    return Control(MemoryBus(lambda: 0.0), "me.example")


def test_a_plan_is_made_once_and_anew_after_a_change_of_any_setting() -> None:
    control = a_control()
    plan = planner(control)
    first = plan("good.example")
    assert plan("good.example") is first
    assert plan("other.example") is not first
    control._on_change("smtproutes", {"lines": (":relay.example",)})
    assert plan("good.example").relays
    control._on_change("smtproutes", None)
    assert plan("good.example") == first


def test_a_policy_from_elsewhere_is_asked_for_each_mail() -> None:
    policies = iter((TlsPolicy(Level.NONE), TlsPolicy(Level.ENCRYPT)))
    control = a_control()
    plan = planner(control, policy_for=lambda domain: next(policies))
    assert plan("a.example").terms.tls.level is Level.NONE
    assert plan("a.example").terms.tls.level is Level.ENCRYPT
