"""A short campaign of `make fuzz`, the same attacks each time."""

from __future__ import annotations

import itertools

import pytest

from tests.fixtures.running_lanthorn import lanthorn_folder, lanthorn_up
from tests.fuzz.campaign import Witness, attacks, crashes, run_together

pytestmark = pytest.mark.hostile

_OPTIONS = {f"DicomAlwaysAllow{service}": True for service in ("Find", "Get", "Move")}
_GROWTH_BYTES = 200 << 20


def test_spoilt_associations_harm_nobody_and_leave_nothing_behind() -> None:
    coming = attacks(first_seed=1)
    with lanthorn_folder() as folder, lanthorn_up(folder, _OPTIONS) as system:
        witness = Witness(system)
        for _ in range(10):
            run_together(itertools.islice(coming, 32), system.dicom_port)
            witness.check()
        witness.close(growth_bytes=_GROWTH_BYTES)
        assert crashes(system) == []
