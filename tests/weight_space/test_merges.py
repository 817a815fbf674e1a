"""Merging methods: what the references computed, exact ends, and what is refused."""

import doctest
import types
import zlib
from collections.abc import Callable

import golden_models
import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from point_ft_jax import weight_space
from point_ft_jax.core import trees
from point_ft_jax.core.errors import UserError
from point_ft_jax.weight_space import deltas, layerwise, merges, soups, spectra
from point_ft_jax.weight_space.merges import merge

FACTS, _ = golden_models.read('merging_s1')
SHAPES = {key: tuple(shape) for key, shape in FACTS['shapes']}
TRAP = {'pos_embed.2.weight': 2, 'encoder.first_conv.3.weight': 3}
WEIGHTED = {'weights': FACTS['weights']}
THIN = {**WEIGHTED, 'density': FACTS['density']}
LINES = {'alpha': 0.3, 'beta': 0.7}

# of the golden: the trees, the method, its options
RECIPES: dict[str, tuple[int, str, dict]] = {
    'task_arithmetic': (3, 'task_arithmetic', WEIGHTED),
    'magnitude_prune': (3, 'magnitude_prune', THIN),
    'ties_total': (3, 'ties', THIN),
    'ties_frequency': (3, 'ties', {**THIN, 'sign': 'frequency'}),
    'dare_linear': (3, 'dare', THIN),
    'dare_ties': (3, 'dare_ties', THIN),
    'lines_by_block': (1, 'lines', LINES),
    'lines_reference': (1, 'lines', LINES),
    'monosoup_variance': (1, 'mono_soup', {}),
    'monosoup_effective_rank': (1, 'mono_soup', {'rank': 'effective_rank'}),
    'model_stock_2_layer': (2, 'model_stock', {}),
    'model_stock_3_layer': (3, 'model_stock', {}),
}


def path_of(key: str) -> str:
    """A path in our trees for a PyTorch key, so that blocks are found."""
    return key.replace('blocks.blocks.', 'block_', 1).replace('.', '/')


def ours(arrays: dict[str, np.ndarray]) -> dict:
    """PyTorch's layout to Flax's, [out, in, …] to [in, …, out]; tokens stay."""
    return trees.unflatten(
        {path_of(k): a if k == 'cls_token' else a.transpose(*a_axes(a)) for k, a in arrays.items()}
    )


def a_axes(array: np.ndarray) -> tuple[int, ...]:
    return (*range(1, array.ndim), 0)


def theirs(key: str, leaf: jax.Array) -> np.ndarray:
    """The inverse of `ours` for a leaf."""
    array = np.asarray(leaf)
    return array if key == 'cls_token' else np.moveaxis(array, -1, 0)


def drawn(draw: Callable[[np.random.Generator, tuple], np.ndarray], seed: int) -> dict:
    return {
        key: draw(np.random.default_rng([100 * FACTS['seed'] + seed, zlib.crc32(key.encode())]), s)
        for key, s in SHAPES.items()
    }


def change(r: np.random.Generator, shape: tuple) -> np.ndarray:
    noise = 0.02 * r.standard_normal(shape)
    if len(shape) == 2:
        rows, columns = (r.standard_normal(n) for n in shape)
        noise = noise + 0.1 * np.outer(rows, columns) / np.sqrt(shape[1])
    return noise


def golden_trees() -> tuple[dict, list[dict], list[dict]]:
    """theta_0, theta_1..3 and the masks of DARE."""
    start = {k: golden_models.weight(k, list(s), FACTS['seed']) for k, s in SHAPES.items()}
    start = {k: value.astype(np.float64) for k, value in start.items()}
    tuned = [
        ours({key: start[key] + z for key, z in drawn(change, t).items()}) for t in FACTS['tasks']
    ]
    masks = [
        ours(drawn(lambda r, s: r.random(s) < FACTS['density'], 50 + t)) for t in FACTS['tasks']
    ]
    return ours(start), tuned, masks


@pytest.mark.parametrize('name', RECIPES)
def test_merged_weights_are_the_references(name: str) -> None:
    count, method, options = RECIPES[name]
    base, tuned, masks = golden_trees()
    if method.startswith('dare'):
        options = {**options, 'masks': masks}
    if name == 'lines_reference':
        trap = {path_of(key): layer for key, layer in TRAP.items()}
        options = {**options, 'layers': {**layerwise.layers_of(base), **trap}}
    with jax.enable_x64(True):
        merged = trees.flatten(merge(tuned[:count], method, base, **options))
    assert set(RECIPES) == set(FACTS['probes'])
    for key, expected in FACTS['probes'][name].items():
        found = golden_models.probe(key, theirs(key, merged[path_of(key)]))
        np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12, err_msg=key)


@pytest.mark.parametrize('module', [deltas, layerwise, merges, soups, spectra])
def test_the_examples_of_the_documentation_run(module: types.ModuleType) -> None:
    result = doctest.testmod(module)
    assert result.attempted > 1
    assert result.failed == 0


BASE = {
    'block_0': {'kernel': np.float32([[1, 2, 0.1], [3, -4, 0.7]]), 'bias': np.float32([1e-30, 3])},
    'block_1': {'kernel': np.float32([[0.3, 1e5], [0, -0.0]])},
    'norm': {'scale': np.float32([1.1, 0.9])},
}


def shifted(seed: int, size: float = 0.3) -> dict:
    r = np.random.default_rng(seed)
    return jax.tree.map(
        lambda leaf: (leaf + size * r.standard_normal(leaf.shape)).astype(np.float32), BASE
    )


def same_bits(one: dict, other: dict) -> bool:
    pairs = zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True)
    return all(np.asarray(a).tobytes() == np.asarray(b).tobytes() for a, b in pairs)


def close(one: dict, other: dict) -> bool:
    pairs = zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True)
    return all(np.allclose(a, b, rtol=1e-6, atol=1e-6) for a, b in pairs)


# (trees, options) of every method that needs more than one tree or an option
NEEDS = {'model_stock': 2, 'greedy_soup': 1}
OPTIONS: dict[str, dict] = {'greedy_soup': {'score': lambda theta: 0.0}}


def run(method: str, thetas: list[dict], **options: object) -> dict:
    return merge(thetas, method, BASE, **{**OPTIONS.get(method, {}), **options})


@pytest.mark.parametrize('method', merges.METHODS)
def test_of_no_change_every_method_makes_none(method: str) -> None:
    assert same_bits(run(method, [BASE] * NEEDS.get(method, 1)), BASE)


@pytest.mark.parametrize('method', ['soup', 'greedy_soup', 'ema'])
def test_a_soup_of_one_is_the_one(method: str) -> None:
    assert same_bits(run(method, [shifted(1)]), shifted(1))


@pytest.mark.parametrize('method', merges.METHODS)
def test_trees_of_another_form_are_refused_by_name(method: str) -> None:
    other = trees.unflatten({**trees.flatten(shifted(1)), 'norm/scale': np.ones(3, np.float32)})
    with pytest.raises(UserError, match=r'norm/scale: float32\[2\] in .*, float32\[3\] in '):
        run(method, [other] * NEEDS.get(method, 1))
    lacking = {name: part for name, part in shifted(1).items() if name != 'norm'}
    with pytest.raises(UserError, match='norm/scale: only in '):
        run(method, [lacking] * NEEDS.get(method, 1))


def test_an_alpha_by_layer_refuses_trees_of_another_form_by_name() -> None:
    lacking = {name: part for name, part in shifted(1).items() if name != 'norm'}
    with pytest.raises(UserError, match='norm/scale: only in theta0'):
        weight_space.choose_alphas(BASE, lacking, lambda _: 0.0)


@pytest.mark.parametrize('method', merges.METHODS)
def test_arguments_keep_their_values_and_results_their_types(method: str) -> None:
    thetas = [shifted(seed) for seed in range(NEEDS.get(method, 1))]
    found = run(method, thetas)
    assert same_bits({'all': thetas}, {'all': [shifted(s) for s in range(len(thetas))]})
    assert {str(leaf.dtype) for leaf in jax.tree.leaves(found)} == {'float32'}


@pytest.mark.parametrize(
    ('method', 'options'),
    [
        ('task_arithmetic', {}),
        ('magnitude_prune', {'density': 1}),
        ('ties', {'density': 1}),
        ('dare', {'density': 1}),
        ('dare_ties', {'density': 1}),
        ('model_stock', {}),
    ],
)
def test_nothing_left_out_one_change_leads_to_its_tree(method: str, options: dict) -> None:
    assert close(run(method, [shifted(1)] * NEEDS.get(method, 1), **options), shifted(1))


def test_lines_has_the_bits_of_both_ends_and_weights_of_nothing_stay_at_the_base() -> None:
    theta = shifted(1)
    assert same_bits(weight_space.lines(BASE, theta, alpha=0, beta=0), BASE)
    assert same_bits(weight_space.lines(BASE, theta, alpha=1), theta)
    first_back = weight_space.lines(BASE, theta, alpha=0)
    assert same_bits(first_back['block_0'], BASE['block_0'])
    assert same_bits(first_back['block_1'], theta['block_1'])
    for method in ('task_arithmetic', 'magnitude_prune', 'ties', 'dare', 'dare_ties'):
        assert close(run(method, [theta], weights=[0]), BASE)


def test_a_moving_average_has_the_first_and_the_last_tree_at_its_ends() -> None:
    trajectory = [shifted(seed) for seed in range(3)]
    assert same_bits(weight_space.ema(trajectory, decay=0), trajectory[-1])
    assert same_bits(weight_space.ema(trajectory, decay=1), trajectory[0])
    average = trajectory[0]
    for theta in trajectory[1:]:
        average = weight_space.interpolate(theta, average, 0.7)
    assert close(weight_space.ema(trajectory, decay=0.7), average)


def test_masks_of_dare_follow_the_seed_and_keep_the_density_and_the_expectation() -> None:
    base = {'x': np.zeros(20_000, np.float32), 'y': np.zeros(20_000, np.float32)}
    theta = jax.tree.map(np.ones_like, base)
    found = weight_space.dare(base, [theta, theta], density=0.25, seed=3)
    again = weight_space.dare(base, [theta, theta], density=0.25, seed=3)
    other = weight_space.dare(base, [theta, theta], density=0.25, seed=4)
    assert same_bits(found, again)
    assert not same_bits(found, other)
    assert set(np.unique(found['x'])) == {0.0, 4.0, 8.0}
    assert abs(float(found['x'].mean()) - 2) < 0.1
    assert not np.array_equal(found['x'], found['y'])


def test_a_greedy_soup_is_no_worse_than_its_best_tree_and_leaves_out_what_harms() -> None:
    thetas = [{'x': np.float32([v])} for v in (10, 2, -1, 0.5)]

    def score(theta: dict) -> float:
        return -abs(float(theta['x'][0]))

    assert weight_space.greedy_members(thetas, score) == [3, 2]
    assert score(merge(thetas, 'greedy_soup', score=score)) == -0.25


def test_model_stock_of_opposite_changes_is_the_base_and_not_an_infinity() -> None:
    for seed in range(4):
        change = np.float32(np.random.default_rng(seed).standard_normal(50))
        found = weight_space.model_stock({'x': 0 * change}, [{'x': change}, {'x': -change}])
        assert np.abs(found['x']).max() == 0


def test_layers_are_blocks_counted_through_levels_and_tuners_go_with_their_block() -> None:
    tree = {
        'backbone': {
            'level_0': {'block_0': {'x': 0}, 'block_10': {'x': 0}, 'tokenizer': {'layer_2': 0}},
            'level_1': {'block_2': {'x': 0}},
        },
        'tuner': {'level_1.block_2.norm1': {'gamma': 0}, 'block_sizes': 0},
        'head': {'layer_0': {'kernel': 0}},
    }
    assert weight_space.layers_of(tree) == {
        'backbone/level_0/block_0/x': 0,
        'backbone/level_0/block_10/x': 1,
        'backbone/level_0/tokenizer/layer_2': None,
        'backbone/level_1/block_2/x': 2,
        'head/layer_0/kernel': None,
        'tuner/block_sizes': None,
        'tuner/level_1.block_2.norm1/gamma': 2,
    }


def test_chosen_alphas_are_never_worse_than_one_alpha_and_find_a_separable_optimum() -> None:
    theta = shifted(1)
    wanted = {'block_0': 0.0, 'block_1': 1.0, 'norm': 0.5}
    parts = {block: weight_space.interpolate(BASE, theta, a)[block] for block, a in wanted.items()}
    calls = []

    def score(found: dict) -> float:
        calls.append(found)
        gaps = jax.tree.map(lambda a, b: float(np.abs(a - b).sum()), found, parts)
        return -sum(jax.tree.leaves(gaps))

    grid = (0, 0.5, 1)
    chosen = weight_space.choose_alphas(BASE, theta, score, grid=grid, rounds=1)
    assert chosen.alphas == wanted
    assert len(calls) == 3 + 3 * 2
    assert chosen.score == score(chosen.theta)
    assert chosen.score >= max(score(weight_space.interpolate(BASE, theta, a)) for a in grid)
    assert same_bits(chosen.theta['block_1'], theta['block_1'])


def test_without_a_gain_chosen_alphas_are_the_smallest_of_the_grid() -> None:
    chosen = weight_space.choose_alphas(BASE, shifted(1), lambda _: 1.0, grid=(1, 0))
    assert set(chosen.alphas.values()) == {0.0}
    assert same_bits(chosen.theta, BASE)


MISTAKES: dict[str, tuple[Callable[[], object], str]] = {
    'seed': (lambda: run('dare', [BASE], density=0.5, seed=-1), 'seed is -1; expected a whole'),
    'method': (lambda: merge([BASE], 'tie'), "no merging method 'tie'; expected one of soup, "),
    'no base': (lambda: merge([BASE], 'ties'), 'ties needs the weights before fine-tuning'),
    'option': (
        lambda: merge([BASE], 'ties', BASE, densty=1),
        "no option 'densty'; expected one of weights, density, sign",
    ),
    'no score': (lambda: merge([BASE], 'greedy_soup'), "greedy_soup needs the option 'score'"),
    'two trees': (lambda: merge([BASE] * 2, 'lines', BASE), 'lines edits one tree and got 2'),
    'one tree': (lambda: merge([BASE], 'model_stock', BASE), 'got 1; expected two or more'),
    'no trees': (lambda: merge([], 'ties', BASE), 'no tree is given'),
    'no trees to select': (lambda: merge([], 'greedy_soup', score=len), 'no tree is given'),
    'no trajectory': (lambda: merge([], 'ema'), 'no tree is given'),
    'weights': (lambda: run('dare', [BASE], weights=(1, 2)), '2 weights for 1 trees'),
    'weight': (lambda: run('ties', [BASE], weights=[np.nan]), 'expected finite numbers'),
    'density': (lambda: run('ties', [BASE], density=30), 'density is 30; expected a fraction'),
    'drop all': (lambda: run('dare', [BASE], density=0), 'density is 0; expected a probability'),
    'sign': (lambda: run('ties', [BASE], sign='sum'), "sign is 'sum'; expected one of total, freq"),
    'masks': (lambda: run('dare', [BASE], masks=[]), '0 masks for 1 trees'),
    'mask': (lambda: run('dare', [BASE], masks=[BASE]), 'norm/scale: bool.* float32.* in mask 0'),
    'decay': (lambda: run('ema', [BASE], decay=2), 'decay is 2; expected a number in 0..1'),
    'rank': (lambda: run('mono_soup', [BASE], rank='full'), "rank is 'full'; expected one of var"),
    'energy': (lambda: run('mono_soup', [BASE], energy=80), 'energy is 80; expected a fraction'),
    'alpha': (lambda: run('lines', [BASE], alpha=np.nan), 'alpha is nan'),
    'layers': (lambda: run('lines', [BASE], layers={}), 'layers has no entry for block_0/bias'),
    'grid': (
        lambda: weight_space.choose_alphas(BASE, BASE, lambda _: 0.0, grid=(0, 2)),
        'expected one or more alphas in 0..1',
    ),
    'score': (
        lambda: weight_space.choose_alphas(BASE, BASE, lambda _: np.nan),
        'a score is not a number',
    ),
    'base of another form': (
        lambda: merge([BASE], 'soup', {'x': np.zeros(1)}),
        'norm/scale: only in tree 0',
    ),
}


@pytest.mark.parametrize('mistake', MISTAKES)
def test_a_mistake_ends_in_its_message(mistake: str) -> None:
    make, message = MISTAKES[mistake]
    with pytest.raises(UserError, match=message):
        make()


values = st.lists(st.integers(-8, 8).map(float), min_size=6, max_size=6)


def tree_of(numbers: list[float]) -> dict:
    return {'block_0': {'kernel': np.float32(numbers).reshape(2, 3)}}


@settings(max_examples=15, deadline=None)
@given(st.lists(values, min_size=2, max_size=4), st.randoms(use_true_random=False))
def test_the_order_of_trees_does_not_matter_to_ties_and_model_stock(
    drawn: list[list[float]], random: object
) -> None:
    base, thetas = tree_of([0.0] * 6), [tree_of(numbers) for numbers in drawn]
    mixed = random.sample(thetas, len(thetas))
    for method, options in (('ties', {'density': 0.5}), ('model_stock', {})):
        one, other = (merge(order, method, base, **options) for order in (thetas, mixed))
        np.testing.assert_allclose(
            one['block_0']['kernel'], other['block_0']['kernel'], rtol=1e-3, atol=1e-4
        )


@settings(max_examples=15, deadline=None)
@given(values, st.sampled_from([0.0, 0.2, 0.5, 0.9, 1.0]))
def test_trimming_keeps_the_largest_and_nothing_else(numbers: list[float], density: float) -> None:
    kept = np.asarray(weight_space.trim({'x': np.float32(numbers)}, density)['x'])
    count = int(density * len(numbers))
    assert np.isin(np.flatnonzero(kept), np.flatnonzero(numbers)).all()
    assert (kept != 0).sum() <= count
    assert np.abs(kept).sum() == np.sort(np.abs(numbers))[::-1][:count].sum()


@settings(max_examples=15, deadline=None)
@given(values, values)
def test_mono_soup_shortens_every_change_and_keeps_its_bias_vectors(
    first: list[float], second: list[float]
) -> None:
    base = {**tree_of(first), 'bias': np.float32(first)}
    theta = {**tree_of(second), 'bias': np.float32(second)}
    for rank in spectra.RANKS:
        found = merge([theta], 'mono_soup', base, rank=rank)
        before, after = (np.float32(t['block_0']['kernel']) for t in (base, theta))
        change = np.linalg.norm(np.asarray(found['block_0']['kernel']) - before)
        assert change <= np.linalg.norm(after - before) * (1 + 1e-5) + 1e-5
        assert found['bias'].tolist() == second
