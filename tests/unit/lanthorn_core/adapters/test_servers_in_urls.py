"""URLs that name several servers of a cluster."""

from __future__ import annotations

import pytest

from lanthorn_core.adapters.bus_nats.connection import account_in
from lanthorn_core.adapters.index_postgres.pool import url_of_each_host


@pytest.mark.parametrize(
    ("url", "each"),
    [
        ("postgresql://u:p@a/db", ["postgresql://u:p@a/db"]),
        ("postgresql:///db?host=/run&user=u", ["postgresql:///db?host=/run&user=u"]),
        (
            "postgresql://u:p%40@a:1,b,[::1]:3/db?password=x%2C",
            [
                "postgresql://u:p%40@a:1/db?password=x%2C",
                "postgresql://u:p%40@b/db?password=x%2C",
                "postgresql://u:p%40@[::1]:3/db?password=x%2C",
            ],
        ),
        ("postgresql://a,b/db", ["postgresql://a/db", "postgresql://b/db"]),
    ],
)
def test_every_host_of_a_database_is_tried_by_itself(url: str, each: list[str]) -> None:
    assert url_of_each_host(url) == each


@pytest.mark.parametrize(
    ("url", "account"),
    [
        ("nats://a:4222", (None, None)),
        ("nats://u:p%2F@a:4222", ("u", "p/")),
        ("nats://token@a:4222", (None, None)),
    ],
)
def test_the_account_of_the_first_server_holds_for_all(
    url: str, account: tuple[str | None, str | None]
) -> None:
    assert account_in(url) == account
