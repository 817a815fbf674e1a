"""The embedded shapes beyond scan15: the 40 classes of cad40, and assemblies without any."""

import numpy as np
import pytest

from point_ft_jax.core.errors import UserError
from point_ft_jax.data.datasets import modelnet40, shapes
from point_ft_jax.data.shapes.boxes import bounds
from point_ft_jax.data.shapes.classes import CAD40, SCAN15
from point_ft_jax.data.shapes.compositions import MOST, PART, composition
from point_ft_jax.data.shapes.solids import box, rod, stretched, turn, turned
from point_ft_jax.data.shapes.surface import sample

CAD40_CLOUDS = {'style': 'cad', 'classes': 'cad40'}
SHARED = {
    **{name: name for name in ('bed', 'chair', 'desk', 'door', 'sink', 'sofa', 'table', 'toilet')},
    'bookshelf': 'shelf',
    'monitor': 'display',
}


def generators(*seeds: int) -> list[np.random.Generator]:
    return [np.random.default_rng(seed) for seed in seeds]


@pytest.fixture(scope='module')
def cad40():
    return shapes.load('train', **CAD40_CLOUDS, train_size=80, num_points=256)


@pytest.fixture(scope='module')
def assemblies():
    return shapes.load('train', style='assemblies', train_size=40, num_points=256)


def test_cad40_has_the_classes_of_modelnet40_in_its_order(cad40):
    assert cad40.classes == CAD40.names == modelnet40.CLASSES
    assert (np.bincount(cad40.labels) == 2).all()


def test_what_both_sets_have_is_built_by_the_same_code():
    shared = {
        name: other
        for name, kind in CAD40.kinds.items()
        for other, one in SCAN15.kinds.items()
        if one.build is kind.build
    }
    assert shared == SHARED


def test_complete_clouds_of_cad40_are_turned_and_scans_of_it_have_all_variants(cad40):
    np.testing.assert_allclose(cad40.points.mean(axis=1), 0, atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(cad40.points, axis=-1).max(axis=1), 1, atol=1e-6)
    again = shapes.load('train', **CAD40_CLOUDS, train_size=40, num_points=256)
    np.testing.assert_array_equal(again.points, cad40.points[:40])
    for variant in shapes.VARIANTS:
        scan = shapes.load('test', classes='cad40', variant=variant, test_size=40, num_points=64)
        assert np.isfinite(scan.points).all()
        assert (variant == 'obj_only') == (not (scan.part_labels == shapes.BACKGROUND).any())


def test_a_turned_cloud_shows_the_object_in_another_pose(cad40):
    """A flight of stairs climbs along the object's own z; turned, it rarely does."""
    doors = shapes.load('train', **CAD40_CLOUDS, train_size=400, num_points=64)
    doors = doors.points[doors.labels == CAD40.names.index('curtain')]
    covariances = np.einsum('sni,snj->sij', doors, doors)[:, [0, 0, 2], [0, 2, 2]]
    angles = np.arctan2(2 * covariances[:, 1], covariances[:, 0] - covariances[:, 2]) / 2
    assert np.ptp(angles) > np.pi / 2


@pytest.mark.parametrize('name', CAD40.names)
def test_every_part_of_a_class_of_cad40_occurs_and_no_other(name):
    built = [CAD40.kinds[name].build(rng) for rng in generators(*range(80))]
    assert {solid.part for solids in built for solid in solids} == set(CAD40.kinds[name].parts)
    assert 2 <= len(CAD40.kinds[name].parts) <= 4
    assert all((np.asarray(solid.size) > 0).all() for solids in built for solid in solids)


def test_part_labels_of_cad40_are_those_of_the_class(cad40):
    assert [i for name in CAD40.names for i in CAD40.part_ids(name)] == list(
        range(1, len(CAD40.part_names))
    )
    for label, parts in zip(cad40.labels, cad40.part_labels, strict=True):
        assert set(parts.tolist()) <= set(cad40.parts[label])
        assert cad40.parts[label] == CAD40.part_ids(CAD40.names[label])


def test_objects_of_the_two_sets_differ_where_their_numbers_agree():
    for number in (0, 1, 7):
        one, other = (shapes.assembly('train', number, classes=c) for c in ('scan15', 'cad40'))
        assert not np.array_equal(np.concatenate(bounds(one)), np.concatenate(bounds(other)))


def test_assemblies_have_one_class_and_no_part_labels(assemblies):
    assert assemblies.classes == ('assembly',)
    assert not assemblies.labels.any()
    assert assemblies.part_labels is None
    assert assemblies.part_names == assemblies.parts == ()
    np.testing.assert_allclose(np.linalg.norm(assemblies.points, axis=-1).max(axis=1), 1, atol=1e-6)


def test_an_assembly_depends_on_its_number_alone(assemblies):
    fewer = shapes.load('train', style='assemblies', train_size=7, num_points=256)
    np.testing.assert_array_equal(fewer.points, assemblies.points[:7])
    other = shapes.load('test', style='assemblies', test_size=7, num_points=256)
    assert not np.isclose(other.points, fewer.points).all(axis=(1, 2)).any()


def test_compositions_are_of_many_kinds():
    """By the forms of their solids and how many there are, hardly two of 300 agree."""
    plans = [composition(*generators(number, number)) for number in range(300)]
    signs = {tuple((s.form, s.exponents, round(s.taper, 2)) for s in solids) for solids in plans}
    assert len(signs) > 290
    assert {solid.part for solids in plans for solid in solids} == {PART}
    assert all(2 <= len(solids) <= MOST for solids in plans)


@pytest.mark.slow
def test_compositions_hang_together():
    """The sampled surface of each has no gap between its solids wider than a tenth of its size."""
    apart = 0
    for number in range(40):
        solids = composition(*generators(number, number))
        points = sample(solids, [0] * len(solids), 1500, np.random.default_rng(0)).points
        apart += _pieces(points, 0.12 * np.ptp(points, axis=0).max()) > 1
    assert apart <= 4


def _pieces(points: np.ndarray, reach: float) -> int:
    """How many groups points fall into whose members are within reach of one another."""
    near = np.linalg.norm(points[:, None] - points[None], axis=-1) < reach
    left, count = np.ones(len(points), bool), 0
    while left.any():
        count += 1
        group = np.zeros(len(points), bool)
        group[np.argmax(left)] = True
        while (grown := near[group].any(axis=0)).sum() > group.sum():
            group = grown
        left &= ~group
    return count


def test_clouds_of_a_kind_share_their_plan_across_splits_and_differ_in_sizes():
    options = {'style': 'assemblies', 'kinds': 5, 'num_points': 512, 'train_size': 10}
    train = shapes.load('train', **options, test_size=10)
    test = shapes.load('test', **options, test_size=10)
    assert train.classes == tuple(f'assembly {kind}' for kind in range(5))
    np.testing.assert_array_equal(train.labels, [0, 1, 2, 3, 4] * 2)
    spans = [np.ptp(split.points, axis=1) for split in (train, test)]
    within = np.abs(spans[0][:5] - spans[1][:5]).mean()
    across = np.abs(spans[0][:5] - np.roll(spans[0][:5], 1, axis=0)).mean()
    assert 0 < within < 0.5 * across


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        ({'classes': 'modelnet'}, "classes is 'modelnet'; choose one of scan15, cad40"),
        (
            {'classes': 'cad40', 'train_size': 60},
            'train_size is 60; give a positive multiple of 40',
        ),
        (
            {'classes': 'cad40', 'test_size': 300},
            'test_size is 300; give a positive multiple of 40',
        ),
        ({'style': 'assemblies', 'classes': 'cad40'}, "the style 'assemblies' has none; leave it"),
        ({'style': 'cad', 'kinds': 5}, "kinds is 5, which only the style 'assemblies' has"),
        ({'style': 'assemblies', 'kinds': 0}, 'kinds is 0; give a whole number of at least 1'),
        ({'style': 'assemblies', 'kinds': 7, 'train_size': 10}, 'train_size is 10; give a .* of 7'),
    ],
)
def test_a_bad_option_is_refused(options, message):
    with pytest.raises(UserError, match=message):
        shapes.load('train', **options)


def test_a_stretched_rod_runs_between_its_stretched_ends():
    factors = np.array([1.5, 0.5, 2.0])
    found = stretched(rod('leg', (0, 0, 0), (1, 1, 0), 0.01), factors)
    ends = found.center + found.rotation @ ([0, 0.5, 0] * np.asarray(found.size))
    np.testing.assert_allclose(ends, (1.5, 0.5, 0), atol=1e-12)
    np.testing.assert_allclose(found.rotation.T @ found.rotation, np.eye(3), atol=1e-12)
    flat = stretched(box('top', (1, 1, 1), (1, 2, 3), turn(1, np.pi / 2)), factors)
    np.testing.assert_allclose(
        bounds([flat]).high, np.add((1.5, 0.5, 2), (2.25, 0.5, 1)), atol=1e-9
    )


def test_turned_frusta_follow_their_profile():
    solids = turned('body', (1.0, 0.5, 0.8), (0, 1, 3))
    points = sample(solids, [0, 0], 4000, np.random.default_rng(0)).points
    radii = np.linalg.norm(points[:, [0, 2]], axis=1)
    profile = np.interp(points[:, 1], (0, 1, 3), (1.0, 0.5, 0.8))
    assert (radii <= profile + 0.03).all()
    assert points[:, 1].min() == pytest.approx(0, abs=1e-9)
