"""The three nats-servers: the stream's leader is lost, then the majority, then the network."""

from __future__ import annotations

import contextlib
import time

import pytest

from tests.faults.cluster import Cluster
from tests.faults.traffic import Traffic

pytestmark = [pytest.mark.faults, pytest.mark.timeout(600)]


def test_the_stream_lies_on_three_servers(cluster: Cluster) -> None:
    assert cluster.nats.stream_replicas() == 3


def test_storing_goes_on_without_the_streams_leader(cluster: Cluster, traffic: Traffic) -> None:
    """NATS: the stream's leader is killed (one of three)"""
    leader = cluster.nats.stream_leader()
    with leader.killed():
        traffic.wait_for_service(traffic.stores, traffic.reads, traffic.finds)
        assert cluster.nats.stream_leader() is not leader


def test_without_a_majority_storing_is_refused_and_comes_back(
    cluster: Cluster, traffic: Traffic
) -> None:
    """NATS: two of three are killed for 20 s"""
    first, second, _ = cluster.nats.nodes
    with first.killed(), second.killed():
        time.sleep(20)
    assert traffic.stores.answers["A700"]


def test_a_network_without_nats_is_survived(cluster: Cluster, traffic: Traffic) -> None:
    """NATS: the network to all three is cut without a word for 20 s"""
    with contextlib.ExitStack() as stack:
        for node in cluster.nats.nodes:
            stack.enter_context(node.proxy.silent())
        time.sleep(20)
    assert traffic.stores.answers["A700"]
