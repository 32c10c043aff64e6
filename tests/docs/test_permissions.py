"""docs/architecture.md says of each service what permissions.py lets it do, and nothing else."""

from tests.docs.pages import table
from tubepost import subjects
from tubepost.permissions import Rights, rights
from tubepost.subjects import Key

KEY = Key(0, "m", "0")

THINGS: dict[str, tuple[str, str]] = {
    "queue records": (subjects.queue_stream(0), KEY.record),
    "bodies": (subjects.MAIL, subjects.body_chunk("m", 0)),
    "local jobs": (subjects.DISPATCH, KEY.job(subjects.LOCAL)),
    "remote jobs": (subjects.DISPATCH, KEY.job(subjects.REMOTE)),
    "events": (subjects.EVENTS, subjects.mail_events("m")),
    **{
        bucket: (subjects.bucket_stream(bucket), subjects.bucket_key(bucket, "k"))
        for bucket in (
            subjects.DIRECTORY,
            subjects.CONTROL,
            subjects.RELAY,
            subjects.LEASES,
            subjects.PAUSES,
            subjects.SECRETS,
            subjects.SUPPRESSED,
            subjects.HOSTS,
        )
    },
}
"""Column of the table: the stream it is about, and a subject in it."""


def _matches(pattern: str, subject: str) -> bool:
    wanted, tokens = pattern.split("."), subject.split(".")
    if wanted[-1] == ">":
        wanted.pop()
        if len(tokens) <= len(wanted):
            return False
        tokens = tokens[: len(wanted)]
    if len(wanted) != len(tokens):
        return False
    return all(w in ("*", t) for w, t in zip(wanted, tokens, strict=True))


def _may(right: Rights, subject: str) -> bool:
    return any(_matches(pattern, subject) for pattern in right.publish)


def _cell(right: Rights, thing: str) -> str:
    stream, subject = THINGS[thing]
    if thing.endswith("jobs"):
        channel = thing.removesuffix(" jobs")
        read = _may(right, f"$JS.API.CONSUMER.MSG.NEXT.{stream}.{channel}")
    else:
        read = _may(right, f"$JS.API.DIRECT.GET.{stream}.{subject}")
    said = {
        "read": read,
        "write": _may(right, subject),
        "purge": _may(right, f"$JS.API.STREAM.PURGE.{stream}"),
    }
    return " ".join(word for word, may in said.items() if may)


def test_the_table_of_rights_is_the_one_the_server_gets() -> None:
    written = {row.pop("service"): row for row in table("docs/architecture.md", "Who may do what")}
    in_code = {
        service: {thing: _cell(right, thing) for thing in THINGS}
        for service, right in rights(1).items()
    }
    assert written == in_code


def test_nobody_hears_what_is_not_for_it() -> None:
    """The sentence below the table: inboxes, hints, questions."""
    heard = {service: set(right.subscribe) for service, right in rights(1).items()}
    for service, patterns in heard.items():
        assert f"_INBOX_{service}.>" in patterns
        assert not any(p.startswith("_INBOX_") for p in patterns - {f"_INBOX_{service}.>"})
    assert subjects.AUTH_CHECK in heard["popauth"]
    assert [s for s in heard if subjects.AUTH_CHECK in heard[s]] == ["popauth"]
    assert [s for s in heard if subjects.QUOTA_ROOM in heard[s]] == ["local"]
    for question in (subjects.SITE, subjects.HOSTS_RESET):
        assert [s for s in heard if question in heard[s]] == ["remote"]
