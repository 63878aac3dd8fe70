"""The cache is bounded by bytes and forgets the least recently used."""

from __future__ import annotations

from lanthorn_renderer.cache import ByteBoundedCache


def test_the_least_recently_used_goes_first() -> None:
    cache: ByteBoundedCache[str] = ByteBoundedCache(100)
    for name in "abcd":
        cache.put(name.upper(), 25, name)
    assert cache.get("a") == "A"
    cache.put("E", 25, "e")
    assert cache.get("b") is None
    assert [cache.get(name) for name in "acde"] == ["A", "C", "D", "E"]
    assert cache.held_bytes == 100


def test_what_is_put_again_counts_once() -> None:
    cache: ByteBoundedCache[str] = ByteBoundedCache(100)
    cache.put("A", 20, "a")
    cache.put("B", 10, "a")
    assert (cache.get("a"), cache.held_bytes) == ("B", 10)


def test_a_value_too_large_to_be_worth_it_is_not_kept() -> None:
    cache: ByteBoundedCache[str] = ByteBoundedCache(100)
    cache.put("A", 26, "a")
    assert cache.get("a") is None
    assert cache.held_bytes == 0
