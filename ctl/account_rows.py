"""A file of accounts, as `tubepost account import` reads it: CSV, a line each. Pure.

joe@example.org,a password
ann@example.org,{ARGON2}$argon2id$v=19$m=65536,t=3,p=4$...,10M
"""

import csv
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from tubepost.address import parse_address
from tubepost.errors import BadInput
from tubepost.quota import parse_quota

COLUMNS = ("address", "password", "quota", "name")
"""The first line may say them. `quota` and `name` may be left out."""

_HASH = re.compile(r"(?:\{ARGON2(?:ID)?\})?(\$argon2id\$.*)", re.IGNORECASE)
_CUT_HASH = re.compile(r"(?:\{ARGON2(?:ID)?\})?\$argon2id\$v=\d+\$m=\d+", re.IGNORECASE)
_SCHEME = re.compile(r"\{[A-Za-z0-9.-]+\}|\$[0-9a-z-]+\$")


@dataclass(frozen=True, slots=True)
class Row:
    """`account`: as /v1/accounts:bulk takes it. `why`: what is wrong with it, "" = nothing."""

    line: int
    account: dict[str, str]
    why: str = ""

    @property
    def costs(self) -> bool:
        """Whether the platform has to make a hash, which takes it a while."""
        return "password" in self.account


def rows(lines: Iterable[str]) -> Iterator[Row]:
    """One for each line that is not empty."""
    reader = csv.reader(lines, strict=True)
    try:
        for fields in reader:
            if fields and not (reader.line_num == 1 and fields[0].strip().lower() == COLUMNS[0]):
                yield _row(reader.line_num, fields)
    except csv.Error as error:
        why = f"this is no CSV, and nothing below it was read: {error}"
        yield Row(reader.line_num, {}, why)


def _row(line: int, fields: list[str]) -> Row:
    try:
        return Row(line, _account(_whole(fields)))
    except BadInput as error:
        return Row(line, {}, str(error))


def _whole(fields: list[str]) -> list[str]:
    """A hash has two commas; nobody puts it in quotes."""
    if len(fields) > 3 and _CUT_HASH.fullmatch(fields[1].strip()):
        return [fields[0], ",".join(fields[1:4]), *fields[4:]]
    return fields


def _account(fields: list[str]) -> dict[str, str]:
    """What is wrong is never quoted: where columns are mixed up it may be a password."""
    if not 2 <= len(fields) <= len(COLUMNS):
        raise BadInput(f"write {','.join(COLUMNS[:3])}; columns here: {len(fields)}")
    address, secret, quota, name = [*fields, "", ""][: len(COLUMNS)]
    account = {"address": _address(address.strip()), **_secret(secret)}
    if quota.strip():
        account["quota"] = _quota(quota)
    return account | ({"name": name.strip()} if name.strip() else {})


def _address(text: str) -> str:
    try:
        parse_address(text)
    except BadInput:
        raise BadInput("the first column is not an address") from None
    return text


def _quota(text: str) -> str:
    try:
        return str(parse_quota(text))
    except BadInput:
        raise BadInput("the third column is not a quota; write 10M, 1000C or NOQUOTA") from None


def _secret(text: str) -> dict[str, str]:
    found = _HASH.fullmatch(text.strip())
    if found:
        return {"hash": found[1]}
    if _SCHEME.match(text):
        raise BadInput("of hashes only argon2id is taken: {ARGON2}$argon2id$...")
    if not text:
        raise BadInput("there is no password")
    return {"password": text}
