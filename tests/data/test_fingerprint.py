"""Fingerprints: equal for the same data, and a sentence on what is other data."""

import dataclasses
import json

import numpy as np
import pytest
from small import split

from point_ft_jax.data.fingerprint import are_rounded, changes, fingerprints
from point_ft_jax.data.split import Split

DATA = split(12, 0)


def prints(data: Split) -> dict:
    return json.loads(json.dumps(fingerprints({'train': data})))


def with_points(points: np.ndarray) -> Split:
    return dataclasses.replace(DATA, points=points)


def one_cloud_moved() -> np.ndarray:
    points = DATA.points.copy()
    points[5] += 0.1
    return points


OTHER = {
    'a cloud less': (DATA.take(np.arange(11)), '12 clouds then, 11 now; plate 4 then, 3 now'),
    'fewer points': (with_points(DATA.points[:, :30]), '32 points a cloud then, 30 now'),
    'other names': (dataclasses.replace(DATA, names=tuple('abcdefghijkl')), 'of other names'),
    'one cloud moved': (with_points(one_cloud_moved()), 'other points or labels in as many'),
    'another order': (DATA.take(np.arange(12)[::-1]), 'other points or labels in as many'),
    'another class': (
        dataclasses.replace(DATA, classes=('ball', 'stick', 'disc')),
        'disc 0 then, 4 now, plate 4 then, 0 now',
    ),
}


@pytest.mark.parametrize(('other', 'message'), OTHER.values(), ids=OTHER)
def test_other_data_are_told_apart(other: Split, message: str) -> None:
    (text,) = changes(prints(DATA), prints(other))
    assert text.startswith('train: ')
    assert message in text
    assert not are_rounded(prints(DATA), prints(other))


def test_the_same_data_are_the_same() -> None:
    assert changes(prints(DATA), prints(split(12, 0))) == []
    assert not are_rounded(prints(DATA), prints(split(12, 0)))
    assert changes({}, prints(DATA)) == []  # of a run that kept none


def test_rounding_is_no_change_but_not_the_same() -> None:
    rounded = with_points(np.nextafter(DATA.points, np.float32(9)))
    assert changes(prints(DATA), prints(rounded)) == []
    assert are_rounded(prints(DATA), prints(rounded))
