"""What the benchmark of the point operations prints, and how it judges picks."""

import numpy as np
import pytest

from kernels import bench, bench_peers


def test_it_prints_medians_ratios_and_the_share_of_right_picks(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    # Other libraries, which need not be there, warm up for seconds.
    monkeypatch.setattr(bench_peers, 'installed', lambda *modules: False)
    bench.main(['--only=256', '--only=fps 512', '--batch=2', '--rounds=3'])
    printed = capsys.readouterr().out
    assert 'fps 256 to 64, batch 2' in printed
    assert 'knn 64 x 8 of 256, batch 2' in printed
    picked = [line for line in printed.splitlines() if ' 1.00 | 1.0000 |' in line]
    assert len(picked) >= 4, printed


def test_a_wrong_pick_is_seen() -> None:
    line = np.zeros((1, 5, 3), np.float32)
    line[0, :, 0] = np.arange(5) + 1
    assert bench.right_picks(line, np.array([[0, 4, 2]])) == 1
    assert bench.right_picks(line, np.array([[0, 3, 4]])) == 0.5
    assert bench.right_neighbours(line[:, :1], line, np.array([[[0, 1]]])) == 1
    assert bench.right_neighbours(line[:, :1], line, np.array([[[0, 2]]])) == 0.5


def test_a_shape_that_there_is_not(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        bench.main(['--only=nothing'])
    assert 'fps 1024 to 64, batch 32' in capsys.readouterr().err
