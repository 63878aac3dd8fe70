"""Fixtures by topic; each module of tests/fixtures says what it provides."""

import pytest
from hypothesis import settings

pytest_plugins = [
    "tests.fixtures.engines",
    "tests.fixtures.gateway",
    "tests.fixtures.index",
    "tests.fixtures.jobs",
    "tests.fixtures.pynetdicom_peer",
    "tests.fixtures.rest_api",
    "tests.fixtures.retrieving",
    "tests.fixtures.running_lanthorn",
    "tests.fixtures.s3",
    "tests.fixtures.whole_system",
]

# How long an example takes tells how busy the machine is, and nothing of what is tested.
settings.register_profile("without deadline", deadline=None)
settings.load_profile("without deadline")

_LONGEST = ("test_crash.py", "test_embedded_up.py", "test_read_your_writes.py")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what takes longest, so that no worker is left alone with it at the end."""
    items.sort(key=lambda item: item.path.name not in _LONGEST)
