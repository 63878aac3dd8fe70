"""Fixtures by topic; each module of tests/fixtures says what it provides."""

pytest_plugins = [
    "tests.fixtures.engines",
    "tests.fixtures.gateway",
    "tests.fixtures.index",
    "tests.fixtures.jobs",
    "tests.fixtures.rest_api",
    "tests.fixtures.retrieving",
    "tests.fixtures.running_lanthorn",
    "tests.fixtures.s3",
    "tests.fixtures.whole_system",
]
