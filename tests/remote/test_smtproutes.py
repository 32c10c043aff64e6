import pytest
from hypothesis import given
from hypothesis import strategies as st

from tubepost import smtproutes
from tubepost.errors import BadInput
from tubepost.smtproutes import Login, Relay, Route
from tubepost.tls_policy import Level, TlsPolicy


@pytest.mark.parametrize(
    ("entry", "domain", "relay"),
    [
        ("example.org:relay.example.net", "example.org", Relay("relay.example.net")),
        ("Example.ORG:Relay.Example.net:2525", "example.org", Relay("relay.example.net", 2525)),
        (".example.org:10.0.0.1", ".example.org", Relay("10.0.0.1")),
        (":smart.example:587", "", Relay("smart.example", 587)),
        ("example.org:", "example.org", None),
        ("example.org:[2001:db8::1]:26", "example.org", Relay("2001:db8::1", 26)),
        ("example.org:[IPv6:2001:db8::1]", "example.org", Relay("2001:db8::1")),
        ("example.org:[192.0.2.1]", "example.org", Relay("192.0.2.1")),
        ("[192.0.2.9]:relay.example", "[192.0.2.9]", Relay("relay.example")),
        ("[IPv6:2001:DB8::9]:relay.example", "[ipv6:2001:db8::9]", Relay("relay.example")),
    ],
)
def test_entry(entry: str, domain: str, relay: Relay | None) -> None:
    assert smtproutes.parse([entry]) == {domain: Route(relays=(relay,) if relay else ())}


def test_blank_entries_and_comments_are_passed_over() -> None:
    assert smtproutes.parse(["", "  ", "# old: relay", " a.example:b.example "]) == {
        "a.example": Route(relays=(Relay("b.example"),))
    }


@pytest.mark.parametrize(
    ("entry", "says"),
    [
        ("example.org", "write domain:relay"),
        ("example.org:relay:0", "not a port"),
        ("example.org:relay:65536", "not a port"),
        ("example.org:relay:" + "9" * 5000, "not a port"),
        ("example.org:relay:", "not a port"),
        ("example.org::25", "'' is not a host name"),
        ("example.org:2001:db8::1", "in brackets"),
        ("example.org:[2001:db8::1", "in brackets is"),
        ("example.org:[nonsense]", "not an IP address"),
        ("example.org:[192.0.2.1]25", "in brackets is"),
        ("example.org:10.0.0.300", "not an IP address"),
        ("exa mple.org:relay", "not a domain name"),
        (".:relay", "not a domain name"),
    ],
)
def test_bad_entry_is_told_in_one_line(entry: str, says: str) -> None:
    with pytest.raises(BadInput) as caught:
        smtproutes.parse(["fine.example:", entry])
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith("smtproutes: ")


def test_two_routes_for_one_domain_are_refused() -> None:
    with pytest.raises(BadInput, match=r"b\.example has two routes"):
        smtproutes.parse(["b.example:x", "B.example:y"])


ROUTES = smtproutes.parse(
    ["a.b.example:exact", ".b.example:near", ".example:far", "direct.example:", ":default"]
)


@pytest.mark.parametrize(
    ("domain", "relay"),
    [
        ("a.b.example", "exact"),
        ("A.B.Example", "exact"),
        ("x.a.b.example", "near"),
        ("b.example", "far"),
        ("example", "default"),
        ("other.test", "default"),
        ("[192.0.2.1]", "default"),
    ],
)
def test_lookup_takes_the_longest_match(domain: str, relay: str) -> None:
    assert smtproutes.lookup(ROUTES, domain).relays == (Relay(relay),)


def test_empty_relay_is_an_exception_to_a_wider_route() -> None:
    assert smtproutes.lookup(ROUTES, "direct.example").relays == ()


def test_no_route_means_mx() -> None:
    assert smtproutes.lookup({}, "example.org") == smtproutes.BY_MX


def only(entry: str) -> Route:
    """The route of one entry."""
    (route,) = smtproutes.parse([entry]).values()
    return route


def test_a_login_goes_to_a_relay_that_has_proved_its_name() -> None:
    assert only("example.org:Smart.example:587|joe|secret") == Route(
        relays=(Relay("smart.example", 587),),
        login=Login("joe", "secret"),
        tls=TlsPolicy(Level.VERIFY, ("smart.example",)),
    )


@pytest.mark.parametrize("password", ["a|b", "two words", "tls=none", "100%41", "pässword", "#:,"])
def test_a_password_is_what_stands_behind_the_second_bar(password: str) -> None:
    assert only(f":relay.example|joe|{password}").login == Login("joe", password)


def test_a_login_may_be_percent_encoded() -> None:
    route = only(":relay.example login=percent|a%7Cb%25|%20c%C3%BC%20")
    assert route.login == Login("a|b%", " cü ")


def test_relays_in_the_order_written() -> None:
    assert only("a.example:one:587,[2001:db8::1]:25,192.0.2.1").relays == (
        Relay("one", 587),
        Relay("2001:db8::1", 25),
        Relay("192.0.2.1"),
    )


@pytest.mark.parametrize(
    ("entry", "route"),
    [
        (":one tls=MAY", Route(relays=(Relay("one"),), tls=TlsPolicy(Level.MAY))),
        (
            ":one tls=none|a|b",
            Route(relays=(Relay("one"),), login=Login("a", "b"), tls=TlsPolicy(Level.NONE)),
        ),
        (
            ":one,two,one:26 tls=verify",
            Route(
                relays=(Relay("one"), Relay("two"), Relay("one", 26)),
                tls=TlsPolicy(Level.VERIFY, ("one", "two")),
            ),
        ),
        (
            ":192.0.2.1 name=mx.example,.b.example tls=verify",
            Route(
                relays=(Relay("192.0.2.1"),),
                tls=TlsPolicy(Level.VERIFY, ("mx.example", ".b.example")),
            ),
        ),
        (
            ":[2001:db8::1]:587 name=mx.example|a|b",
            Route(
                relays=(Relay("2001:db8::1", 587),),
                login=Login("a", "b"),
                tls=TlsPolicy(Level.VERIFY, ("mx.example",)),
            ),
        ),
        (": tls=encrypt", Route(tls=TlsPolicy(Level.ENCRYPT))),
        (
            ":source=2001:DB8::7,192.0.2.7  helo=Out.example",
            Route(source=("2001:db8::7", "192.0.2.7"), helo="out.example"),
        ),
        (":box.example:24 lmtp", Route(relays=(Relay("box.example", 24),), lmtp=True)),
        (":lmtp", Route(relays=(Relay("lmtp"),))),
    ],
)
def test_options(entry: str, route: Route) -> None:
    assert only(entry) == route


def test_names_in_other_letters_are_asked_for_as_dns_has_them() -> None:
    assert smtproutes.parse([".faß.example:Müller.example"]) == {
        ".xn--fa-hia.example": Route(relays=(Relay("xn--mller-kva.example"),))
    }


@pytest.mark.parametrize(
    ("entry", "says"),
    [
        (":one tsl=may", "tsl= is no option; is it tls=?"),
        (":one colour=red", "colour= is no option; there are tls="),
        (":one tls=on", "tls= is none, may, encrypt or verify"),
        (":one tls=may tls=may", "tls= stands there twice"),
        (":one, two", "'' is not a host name"),
        (":one two", "a list of relays has no blanks"),
        (":one name=a.example", "name= is for tls=verify"),
        (":one name=a..b tls=verify", "name= is a host name"),
        (":one source=192.0.2.1,192.0.2.2", "source= is an IPv4 address"),
        (":one source=", "source= is an IPv4 address"),
        (":one source=here", "source= is an IPv4 address"),
        (":one helo=a..b", "helo= is a host name"),
        (":one lmtp", "lmtp needs relays with a port each"),
        (":one:25 lmtp", "never 25"),
        (": lmtp=yes", "is it lmtp?"),
        (": tls=verify", "tls=verify without a relay needs name="),
        (":192.0.2.1 tls=verify", "a relay given by its address needs name="),
        (":192.0.2.1|a|b", "a relay given by its address needs name="),
        (":|a|b", "a login needs a relay"),
        (":one|a", "a login is |user|password"),
        (":one||b", "a login is |user|password"),
        (":one login=percent", "needs |user|password"),
        (":one login=base64|a|b", "login= is percent"),
        (":one login=percent|a|%ff", "is UTF-8"),
        (":one login=percent|a|%00", "no control characters"),
        (":" + ",".join(["one"] * 11), "11 relays; 10 at most"),
        ("ﬀ..example:one", "not an internationalised domain name"),
    ],
)
def test_a_slip_in_an_option_is_told(entry: str, says: str) -> None:
    with pytest.raises(BadInput) as caught:
        only(entry)
    assert says in str(caught.value)


PASSWORD = "Xq7zW"


@pytest.mark.parametrize(
    "entry",
    [
        "example.org:relay|user|{}",
        "example.org:relay:0|user|{}",
        "example.org:relay |{}",
        "example.org:relay|{}",
        "relay|user|{}",
        "example.org:relay:587:user:{}",
        "example.org:user:{}@relay",
        "example.org:relay user {}",
        "example.org:relay password={}",
        "example.org:relay tls={}",
        "example.org:relay login={}|a|b",
        "example.org:relay source={}",
        "example.org:relay helo={}!",
        "example.org:relay tls=verify name={}!",
        "example.org:192.0.2.1|user|{}",
    ],
)
def test_no_error_and_no_repr_shows_a_password(entry: str) -> None:
    try:
        shown = repr(smtproutes.parse([entry.format(PASSWORD)]))
    except BadInput as error:
        shown = f"{error} {error.__cause__} {error.__cause__ and error.__cause__.__cause__}"
    assert PASSWORD not in shown


@given(st.text(max_size=60))
def test_any_line_is_taken_or_refused_in_one_line(text: str) -> None:
    said = "fine"
    try:
        smtproutes.parse([text])
    except BadInput as error:
        said = str(error)
    assert said.isprintable()
