"""``make fuzz``: attacks the DICOM port of a fresh Lanthorn for as long as asked.

The seed of the last line, given as ``--seed``, makes the attacks again that came from there on.
"""

from __future__ import annotations

import argparse
import itertools
import time

from tests.fixtures.running_lanthorn import lanthorn_folder, lanthorn_up
from tests.fuzz.campaign import Witness, attacks, crashes, run_together

_AT_ONCE = 32
_GROWTH_BYTES = 300 << 20
_OPTIONS = {
    **{f"DicomAlwaysAllow{service}": True for service in ("Find", "Get", "Move")},
    "DicomScpTimeout": 10,
}


def main() -> None:
    """Attack until the time is over, or something breaks."""
    parser = argparse.ArgumentParser(prog="make fuzz", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    until = time.monotonic() + options.seconds
    with lanthorn_folder() as folder, lanthorn_up(folder, _OPTIONS) as system:
        witness = Witness(system)
        coming, done = attacks(options.seed), 0
        while time.monotonic() < until:
            print(f"{done} attacks, next seed {options.seed + done}", flush=True)
            run_together(itertools.islice(coming, _AT_ONCE), system.dicom_port)
            done += _AT_ONCE
            witness.check()
        witness.close(growth_bytes=_GROWTH_BYTES)
        assert not crashes(system), "\n".join(crashes(system)[:5])
    print(f"{done} attacks: nothing broke")


if __name__ == "__main__":
    main()
