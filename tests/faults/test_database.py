"""PostgreSQL: stopped, cut off, and lost with a standby that is promoted behind its primary."""

from __future__ import annotations

import time

import pytest

from tests.faults.cluster import Cluster
from tests.faults.traffic import Traffic

_APPLIED = "SELECT applied_sequence FROM index_progress"

pytestmark = [pytest.mark.faults, pytest.mark.timeout(600)]


def test_storing_goes_on_without_the_database(cluster: Cluster, traffic: Traffic) -> None:
    """PostgreSQL: killed, started again after 25 s"""
    with cluster.primary.killed():
        time.sleep(25)
    assert set(traffic.stores.answers) == {"0000"}
    assert traffic.reads.answers["503 with a warning"]
    assert traffic.finds.answers["C-FIND ended with A700"]


def test_a_network_without_the_database_is_survived(cluster: Cluster, traffic: Traffic) -> None:
    """PostgreSQL: the network to it is cut without a word for 20 s"""
    with cluster.primary.proxy.silent():
        time.sleep(20)
    assert set(traffic.stores.answers) == {"0000"}


# The last one: the cluster has no standby afterwards.
def test_a_promoted_standby_that_was_behind_loses_nothing(
    cluster: Cluster, traffic: Traffic
) -> None:
    """PostgreSQL: killed, its standby promoted, which had heard nothing for 10 s"""
    with cluster.replication.silent():
        time.sleep(10)
        before = cluster.primary.query(_APPLIED, "lanthorn")
        cluster.primary.kill()
        known = cluster.standby.query(_APPLIED, "lanthorn")
        assert known < before, "the standby was not behind: this test shows nothing"
        assert cluster.standby.query("SELECT pg_promote()")
