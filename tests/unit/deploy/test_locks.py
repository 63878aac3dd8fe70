"""The locks agree: what is tested is what images carry, with an extra or without."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]


def locked(name: str) -> dict[str, frozenset[str]]:
    """Read a lock: hashes by package and version."""
    found: dict[str, list[str]] = {}
    hashes: list[str] = []
    for line in (ROOT / name).read_text(encoding="utf-8").splitlines():
        if pinned := re.match(r"[\w.-]+==[^\s;]+", line):
            hashes = found.setdefault(pinned[0], [])
        hashes += re.findall(r"--hash=(\S+)", line)
    return {package: frozenset(theirs) for package, theirs in found.items()}


@pytest.mark.parametrize(
    ("smaller", "larger"),
    [
        ("requirements.lock", "requirements-tracing.lock"),
        ("requirements-tracing.lock", "requirements-dev.lock"),
    ],
)
def test_a_larger_lock_has_all_of_a_smaller_one(smaller: str, larger: str) -> None:
    packages = locked(smaller)
    assert all(packages.values()), "a package has no hash"
    assert packages.items() <= locked(larger).items()
