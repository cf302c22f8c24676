from __future__ import annotations

from dataclasses import asdict

import numpy as np
import pytest

from s2v_core.errors import UserError
from training.data import shards
from training.data.shards import Row, Stack, read_rows, written

RNG = np.random.default_rng


def arrays(n: int, seed: int = 0) -> dict[str, np.ndarray]:
    rng = RNG(seed)
    return {
        "frames": rng.integers(0, 256, (n, 8, 6, 3), np.uint8),
        "speech": rng.integers(-9, 9, (n, 640)).astype(np.int16),
        "points": rng.normal(size=(n, 9, 2)).astype(np.float32),
    }


def test_a_stack_is_what_numpy_would_have_saved(tmp_path):
    parts = [RNG(n).normal(size=(n, 3, 2)).astype(np.float32) for n in (1, 5, 300, 12_345)]
    stack = Stack(tmp_path / "grown.npy")
    for part in parts:
        stack.add(part)
    stack.close()
    np.save(tmp_path / "whole.npy", np.concatenate(parts))
    assert (tmp_path / "grown.npy").read_bytes() == (tmp_path / "whole.npy").read_bytes()


def test_clips_lie_where_the_shard_says(tmp_path):
    clips = [arrays(n, seed=n) for n in (7, 1, 9)]
    with written(tmp_path, "a.000") as shard:
        starts = [shard.add(**clip) for clip in clips]
    assert starts == [0, 7, 8]
    for kind in shards.KINDS:
        whole = np.load(shards.path(tmp_path, "a.000", kind), mmap_mode="r")
        for start, clip in zip(starts, clips, strict=True):
            np.testing.assert_array_equal(whole[start : start + len(clip[kind])], clip[kind])
    assert len(list((tmp_path / "shards").iterdir())) == len(shards.KINDS)


def test_a_shard_that_fails_half_way_leaves_nothing(tmp_path):
    with pytest.raises(KeyboardInterrupt), written(tmp_path, "a.000") as shard:
        shard.add(**arrays(5))
        raise KeyboardInterrupt
    assert list((tmp_path / "shards").iterdir()) == []


def test_a_shard_without_a_usable_clip_can_be_written(tmp_path):
    with written(tmp_path, "a.000"):
        pass
    assert all(shards.path(tmp_path, "a.000", kind).stat().st_size == 0 for kind in shards.KINDS)


def test_a_full_disk_leaves_no_half_shard(tmp_path):
    """Writes to /dev/full fail as on a full disk."""
    folder = tmp_path / "shards"
    folder.mkdir()
    (folder / ".a.000.points.npy").symlink_to("/dev/full")
    with pytest.raises(OSError, match="No space left"), written(tmp_path, "a.000") as shard:
        for _ in range(2000):
            shard.add(**arrays(5))
    assert list(folder.iterdir()) == []


def test_a_full_disk_leaves_the_old_table(tmp_path):
    table = tmp_path / "clips.csv"
    shards.write_table(table, ["name"], [{"name": "a"}])
    (tmp_path / ".clips.csv").symlink_to("/dev/full")
    with pytest.raises(OSError, match="No space left"):
        shards.write_table(table, ["name"], [{"name": "b"}])
    assert list(shards.read_table(table)) == [{"name": "a"}]
    assert list(tmp_path.iterdir()) == [table]


def test_rows_come_back_as_they_were(tmp_path):
    rows = [
        Row('a "1", é', "a", "Female", "A01", "", "train", 50, "XX", 29.97, "a.000", 0),
        Row("a2", "a", "Female", "A02", "NEU", "val", 7, "", 25.0, "a.000", 50),
    ]
    shards.write_table(tmp_path / "clips.csv", shards.COLUMNS, map(asdict, rows))
    read = list(read_rows(tmp_path))
    assert read == rows
    assert read[0].actor is read[1].actor  # a million rows share their texts


def test_a_table_of_the_older_layout_is_an_error(tmp_path):
    (tmp_path / "clips.csv").write_text("name,actor,frames\na1,a,20\n")
    with pytest.raises(UserError, match="older layout"):
        list(read_rows(tmp_path))
