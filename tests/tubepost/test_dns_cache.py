from tubepost.dns_cache import DnsCache


def weigh(answer: str) -> int:
    return len(answer)


def test_an_answer_is_there_until_its_time_is_over() -> None:
    cache = DnsCache(100, weigh)
    cache.put(("a.example", "A"), "x", until=10.0)
    assert cache.get(("a.example", "A"), 9.9) == "x"
    assert cache.get(("a.example", "MX"), 9.9) is None
    assert cache.get(("a.example", "A"), 10.0) is None
    assert len(cache) == 0


def test_those_unused_for_longest_make_room() -> None:
    cache = DnsCache(4, weigh)
    for name in ("a", "b", "c"):
        cache.put((name, "A"), "x", until=10.0)
    assert cache.get(("a", "A"), 0.0)
    cache.put(("d", "A"), "xx", until=10.0)
    kept = [name for name in ("a", "b", "c", "d") if cache.get((name, "A"), 0.0)]
    assert kept == ["a", "c", "d"]


def test_a_new_answer_takes_the_place_and_the_weight_of_the_old_one() -> None:
    cache = DnsCache(4, weigh)
    for _ in range(9):
        cache.put(("a", "A"), "xx", until=10.0)
    cache.put(("b", "A"), "xx", until=10.0)
    assert cache.get(("a", "A"), 0.0) == cache.get(("b", "A"), 0.0) == "xx"


def test_one_answer_never_drives_out_all_others() -> None:
    cache = DnsCache(4, weigh)
    cache.put(("a", "A"), "x", until=10.0)
    cache.put(("b", "A"), "xxx", until=10.0)
    assert cache.get(("a", "A"), 0.0) == "x"
    assert cache.get(("b", "A"), 0.0) is None
