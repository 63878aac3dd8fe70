"""Each of our services is killed while clients are at work."""

from __future__ import annotations

import pytest

from tests.faults.cluster import Cluster
from tests.faults.traffic import Traffic

pytestmark = [pytest.mark.faults, pytest.mark.timeout(600)]


def kill_and_start_again(cluster: Cluster, name: str) -> None:
    """Kill one process; what runs it, here this test, starts it again."""
    with cluster.services[name].killed():
        pass
    cluster.services[name].wait_until_ready()


def test_killing_a_gateway_loses_nothing(cluster: Cluster, traffic: Traffic) -> None:
    """kill -9 of one of two gateways"""
    kill_and_start_again(cluster, "gateway-1")


def test_killing_a_rest_api_loses_nothing(cluster: Cluster, traffic: Traffic) -> None:
    """kill -9 of one of two rest-apis"""
    kill_and_start_again(cluster, "rest-api-1")


def test_killing_the_renderer_concerns_neither_storing_nor_finding(
    cluster: Cluster, traffic: Traffic
) -> None:
    """kill -9 of the renderer"""
    kill_and_start_again(cluster, "renderer")


def test_a_standby_takes_over_from_a_killed_indexer(cluster: Cluster, traffic: Traffic) -> None:
    """kill -9 of the indexer that writes; the other one takes over"""
    active = cluster.active_indexer()
    with active.killed():
        traffic.wait_for_service(traffic.reads, traffic.finds)
