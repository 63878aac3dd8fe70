"""The S3 object store: it answers 503, is slow, is full, is cut off, is gone."""

from __future__ import annotations

import time

import pytest

from tests.faults.cluster import Cluster
from tests.faults.traffic import Traffic

pytestmark = [pytest.mark.faults, pytest.mark.timeout(600)]

_MOST_GROWTH_BYTES = 256 << 20


def gateway_bytes(cluster: Cluster) -> int:
    return max(
        service.resident_bytes()
        for name, service in cluster.services.items()
        if name.startswith("gateway")
    )


def test_an_overloaded_store_is_told_to_senders(cluster: Cluster, traffic: Traffic) -> None:
    """S3: answers 503 for 15 s"""
    with cluster.objects.answering(503, "Slow Down", "SlowDown"):
        time.sleep(15)
    assert traffic.stores.answers["A700"]


def test_a_store_that_is_gone_is_told_to_senders(cluster: Cluster, traffic: Traffic) -> None:
    """S3: refuses connections for 15 s"""
    with cluster.objects.refusing():
        time.sleep(15)
    assert traffic.stores.answers["A700"]


def test_a_full_store_is_told_to_senders(cluster: Cluster, traffic: Traffic) -> None:
    """S3: is full for 10 s"""
    with cluster.objects.answering(507, "Insufficient Storage", "XMinioStorageFull"):
        time.sleep(10)
    assert traffic.stores.answers["A700"]


def test_a_slow_store_slows_senders_and_grows_no_memory(cluster: Cluster, traffic: Traffic) -> None:
    """S3: every 64 KiB takes 0.5 s, for 20 s"""
    before = gateway_bytes(cluster)
    with cluster.objects.slow(0.5):
        time.sleep(20)
    assert set(traffic.stores.answers) == {"0000"}
    assert gateway_bytes(cluster) - before < _MOST_GROWTH_BYTES


def test_a_store_that_is_cut_off_is_survived(cluster: Cluster, traffic: Traffic) -> None:
    """S3: the network to it is cut without a word for 20 s"""
    with cluster.objects.silent():
        time.sleep(20)
