"""docs/metrics.md lists every metric with its kind, its labels and its help."""

from prometheus_client import Counter, Gauge, Histogram

from tests.docs.pages import names, table
from tubepost import metrics

Metric = Counter | Gauge | Histogram


def _in_code() -> set[tuple[str, str, tuple[str, ...], str]]:
    found = (each for each in vars(metrics).values() if isinstance(each, Metric))
    return {_described(metric) for metric in found}


def _described(metric: Metric) -> tuple[str, str, tuple[str, ...], str]:
    family = next(iter(metric.describe()))
    name = family.name + ("_total" if family.type == "counter" else "")
    return name, family.type, tuple(metric._labelnames), family.documentation


def test_the_table_is_the_one_in_the_code() -> None:
    rows = table("docs/metrics.md", "All metrics")
    written = {
        (names(row["metric"])[0], row["kind"], tuple(names(row["labels"])), row["help"])
        for row in rows
    }
    assert len(written) == len(rows)
    assert written == _in_code()
