"""Our pixels are those of a real Orthanc 1.13.0 (see tests/data/renderer/README.md)."""

from __future__ import annotations

import hashlib
import json

import numpy as np
import pytest

from tests.unit.lanthorn_renderer.picturing import DATA, picture, sample

RECORDED = json.loads((DATA / "renderer" / "orthanc_pictures.json").read_text())
LOSSLESS = [entry for entry in RECORDED if "sha256" in entry]
LOSSY = [entry for entry in RECORDED if "samples" in entry]


def name(entry: dict) -> str:
    return f"{entry['file']}-{entry['frame']}-{entry['mode']}"


@pytest.mark.parametrize("entry", LOSSLESS, ids=name)
async def test_lossless_pixels_are_exactly_orthancs(entry: dict) -> None:
    ours = await picture(sample(entry["file"]), entry["mode"], frame_index=entry["frame"])
    assert list(ours.shape) == entry["shape"]
    little_endian = ours.astype(ours.dtype.newbyteorder("<"))
    assert hashlib.sha256(little_endian.tobytes()).hexdigest() == entry["sha256"]


@pytest.mark.parametrize("entry", LOSSY, ids=name)
async def test_lossy_pixels_differ_from_orthancs_by_one_at_most(entry: dict) -> None:
    with np.load(DATA / "renderer" / "orthanc_lossy_samples.npz") as samples:
        theirs = samples[entry["samples"]]
    ours = await picture(sample(entry["file"]), entry["mode"], frame_index=entry["frame"])
    assert list(ours.shape) == entry["shape"]
    if entry["mode"] == "image-int16":
        theirs = theirs.view(np.int16)
    difference = ours[::8, ::8].astype(int) - theirs.astype(int)
    assert np.abs(difference).max() <= 1
