"""PointGPT's order, mask, positions and generator; the goldens say that it is the published one."""

import functools
from collections.abc import Callable

import golden_models as g
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from kernels import group_points
from point_ft_jax.core import trees
from point_ft_jax.models import Model, create_model
from point_ft_jax.models.autoencoders import generative
from point_ft_jax.models.causal_transformer import directions
from point_ft_jax.models.patch_order import greedy_order, reorder
from point_ft_jax.models.positions import one_frequency, sinusoid
from point_ft_jax.models.tuner import Tuner
from point_ft_jax.training.losses import auxiliary, cross_entropy
from point_ft_jax.training.tasks.classification import classification

SMALL = {
    **{'width': 24, 'heads': 3, 'depth': 1, 'generator_depth': 1},
    **{'num_groups': 12, 'group_size': 5, 'tokenizer_widths': (8, 12, 16)},
}
POINTS = np.random.default_rng(0).uniform(-1, 1, (3, 40, 3)).astype(np.float32)


@functools.cache
def small() -> tuple[Model, dict]:
    model = create_model('pointgpt', 4, geometry=SMALL, head={'dropout': 0.0})
    variables = model.init(jax.random.key(0))
    r = np.random.default_rng(1)

    def move(path: str, leaf: jax.Array) -> np.ndarray:
        return np.asarray(leaf + 0.1 * r.standard_normal(leaf.shape), leaf.dtype)

    return model, {**variables, 'params': trees.map_paths(move, variables['params'])}


def test_the_order_is_that_of_the_published_code() -> None:
    _, arrays = g.read('pointgpt_s1')
    centers = group_points(jnp.asarray(arrays['points']), 128, 32).centers
    np.testing.assert_array_equal(greedy_order(centers), arrays['order'])


def test_the_order_goes_on_to_the_nearest_and_to_the_first_of_several() -> None:
    line = jnp.pad(jnp.array([[[0.0], [3], [1], [-1], [-1], [9]]]), ((0, 0), (0, 0), (0, 2)))
    # From 0 both 1 and -1 are one away, from 1 both 3 and -1 two.
    assert greedy_order(line).tolist() == [[0, 2, 1, 3, 4, 5]]


def test_neighbourhoods_are_put_in_order_whole() -> None:
    grouped = group_points(POINTS, 12, 5)
    order = greedy_order(grouped.centers)
    ordered = reorder(grouped, order)
    for found, values in zip(ordered, grouped, strict=True):
        np.testing.assert_array_equal(found[1], np.asarray(values)[1][np.asarray(order[1])])


@pytest.mark.parametrize('width', [384, 1024, 50])
def test_a_sinusoid_has_a_third_of_the_channels_for_each_axis(width: int) -> None:
    centers = jnp.array([[0.1, -0.2, 0.3]])
    per_axis = 2 * (width // 6)
    for code, first in ((one_frequency, np.sin(0.2 * np.pi)), (sinusoid, np.sin(0.1))):
        whole = np.asarray(code(centers, width))[0]
        assert whole.shape == (width,)
        np.testing.assert_allclose(whole[0], first, rtol=1e-5)
        assert not whole[3 * per_axis :].any()
        moved = np.asarray(code(centers + jnp.array([[0, 0.5, 0]]), width))[0]
        assert set(np.flatnonzero(whole != moved)) <= set(range(per_axis, 2 * per_axis))


def test_a_token_sees_nothing_that_comes_after_it() -> None:
    """Another last patch leaves all but its own token, another first one the class token."""
    model, variables = small()
    backbone = model.module.backbone
    grouped = backbone.group(POINTS)

    @jax.jit
    def encode(groups: jax.Array) -> jax.Array:
        moved = grouped._replace(groups=groups)
        tree = {name: tree['backbone'] for name, tree in variables.items()}
        return backbone.apply(tree, moved, Tuner(), method='encode').sequence()

    before = encode(grouped.groups)
    for patch in (0, 11):
        after = encode(grouped.groups.at[:, patch].multiply(2.0))
        np.testing.assert_array_equal(before[:, : 2 + patch], after[:, : 2 + patch])
        assert np.abs(before - after)[:, 2 + patch :].max(axis=(0, 2)).min() > 0


def test_the_class_token_is_the_same_for_every_cloud() -> None:
    """Half of what the published head reads says nothing of the cloud."""
    model, variables = small()
    apply = functools.partial(model.module.apply, method='features')
    features = np.asarray(jax.jit(apply)(variables, POINTS))
    assert np.ptp(features[:, :24], axis=0).max() == 0
    assert np.ptp(features[:, 24:], axis=0).min() > 0


def test_the_opening_token_has_the_position_of_the_class_token_and_the_other_way_round() -> None:
    model, variables = small()
    tree = variables['params']['backbone']

    def enter(module: object) -> object:
        grouped = module.group(POINTS)
        kept = []
        module.after_blocks(grouped, Tuner(), False, lambda t: kept.append(t) or t)
        return kept[0]

    parts = {name: tree['backbone'] for name, tree in variables.items()}
    tokens = model.module.backbone.apply(parts, method=enter)
    np.testing.assert_array_equal(tokens.cls[0], [tree['sos'], tree['cls_token'][0, 0]])
    expected = [tree['cls_pos'][0, 0], tree['sos_pos'][0, 0]]
    np.testing.assert_array_equal(tokens.cls_pos[0], expected)


def test_coinciding_centers_have_no_direction_and_no_nan() -> None:
    centers = jnp.array([[[1.0, 2, 3], [1, 2, 3], [1, 4, 3]]])
    assert directions(centers).tolist() == [[[1, 2, 3], [0, 0, 0], [0, 1, 0]]]
    repeated = np.broadcast_to(POINTS[:, :1], POINTS.shape)
    value, gradients = loss_and_gradients()(repeated)
    assert np.isfinite(value)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(gradients))


@functools.cache
def loss_and_gradients() -> Callable:
    """Clouds to the task's loss of a training step, and its gradients."""
    model, variables = small()

    def loss(params: trees.Tree, points: jax.Array) -> jax.Array:
        tree = {**variables, 'params': params}
        labels, key = jnp.arange(3), jax.random.key(0)
        return classification().loss(model.module, tree, points, labels, key)[0]

    run = jax.jit(jax.value_and_grad(loss))
    return lambda points: run(variables['params'], points)


def pass_of(weight: float) -> tuple:
    """The logits of a training pass and what it updates, the generator's loss so weighted."""
    model, variables = small()
    backbone = model.module.backbone.clone(generation_weight=weight)
    return model.module.clone(backbone=backbone).apply(
        variables,
        POINTS,
        train=True,
        mutable=['batch_stats', 'losses'],
        rngs={'dropout': jax.random.key(0)},
    )


def test_the_generators_loss_joins_the_tasks_and_nothing_reads_what_is_unread() -> None:
    whole, gradients = loss_and_gradients()(POINTS)
    logits, updates = jax.jit(functools.partial(pass_of, 3.0))()
    generation = auxiliary(updates)
    assert generation > 1e-3
    alone = cross_entropy(logits, jnp.arange(3)).mean()
    np.testing.assert_allclose(whole, alone + generation, rtol=1e-5)
    assert 'losses' not in jax.eval_shape(functools.partial(pass_of, 0.0))[1]
    still = {k for k, leaf in trees.flatten(gradients).items() if not np.any(leaf)}
    unread = {'norm/scale', 'norm/bias', 'unread/kernel', 'unread/bias', 'generator/sos'}
    assert {f'backbone/{path}' for path in unread} <= still
    assert not any('generator/block' in path and path.endswith('kernel') for path in still)


@pytest.mark.parametrize(('number', 'hidden'), [(64, 37), (14, 2), (10, 0), (7, 0)])
def test_the_first_ten_places_are_never_hidden(number: int, hidden: int) -> None:
    places = np.stack([generative.hidden_places(jax.random.key(k), number, 0.7) for k in range(20)])
    assert (places.sum(1) == hidden).all()
    assert not places[:, :10].any()
    assert hidden == 0 or len(np.unique(places, axis=0)) > 5


def test_a_segmenter_has_all_but_the_norm_of_the_classification_head() -> None:
    parts = create_model('pointgpt', 16, num_parts=50, geometry=SMALL)
    inside, whole = (
        set(trees.flatten(model.shapes()['params']['backbone'])) for model in (parts, small()[0])
    )
    assert whole - inside == {'norm_head/scale', 'norm_head/bias'}
    assert inside < whole
