"""Methods that start where points become tokens: GAPrompt, PPT, PointLoRA."""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from small_methods import FAST, LABELS, OPTIONS, POINTS, SMALL, fresh, same, small

from point_ft_jax.core.errors import UserError
from point_ft_jax.methods import gaprompt, pointlora
from point_ft_jax.methods._gaprompt_shift import interpolate, interpolation, waves
from point_ft_jax.training.tasks.classification import classification


@functools.cache
def of_propagation(propagation: str) -> Callable[[np.ndarray], jax.Array]:
    """GAPrompt's logits as a function of clouds."""
    options = {**OPTIONS['gaprompt'], 'propagation': propagation}
    model = small('point_mae', 'gaprompt', method_options=options)
    _, variables = fresh('point_mae', 'gaprompt')
    return jax.jit(functools.partial(model.module.apply, variables), compiler_options=FAST)


@pytest.mark.slow
def test_gaprompts_logits_of_a_cloud_depend_on_its_batch_only_as_the_reference() -> None:
    """The released code looks patches up in a sequence that has prompts in it too."""
    swapped = POINTS[[1, 0, 2, 3]]
    for propagation, alike in (('aligned', True), ('reference', False)):
        run = of_propagation(propagation)
        both = run(POINTS)[1], run(swapped)[0]
        assert np.allclose(*both, rtol=1e-5, atol=1e-6) == alike


@pytest.mark.slow
def test_gaprompt_finds_the_rows_that_it_means() -> None:
    model, variables = fresh('point_mae', 'gaprompt')
    tokens = model.module.apply(
        variables,
        POINTS,
        method=lambda module, points: module.backbone(points, module.tuner),
    )
    tokens = tokens.with_prompts(jnp.zeros((4, 3, 24)))
    values = jnp.arange(4 * 11.0).reshape(4, 11, 1)
    indices = jnp.array([[0, 7]] * 4)
    aligned = gaprompt.look_up(tokens, values, indices, 'aligned')[..., 0]
    assert aligned.tolist() == [[11 * b + 3, 11 * b + 10] for b in range(4)]
    reference = gaprompt.look_up(tokens, values, indices, 'reference')[..., 0]
    assert reference.tolist() == [[8 * b, 8 * b + 7] for b in range(4)]


@pytest.mark.slow
def test_what_gaprompt_never_computes_with_has_no_gradient() -> None:
    model, variables = fresh('point_mae', 'gaprompt')

    def total(params: dict) -> jax.Array:
        return jnp.square(model.module.apply({**variables, 'params': params}, POINTS)).sum()

    own = jax.jit(jax.grad(total), compiler_options=FAST)(variables['params'])['tuner']
    dead = (
        own['block_1.prompts'],  # after `prompt_depth`
        own['block_0.adapter']['unused'],
        own['block_0.scaler1'],
        own['block_1.scaler2'],
    )
    assert not any(np.any(leaf) for leaf in jax.tree.leaves(dead))
    assert np.any(own['points']['value'])
    assert np.any(own['block_0.prompts']['value'])


def test_coarser_centres_give_each_patch_weights_that_sum_to_one() -> None:
    centers = jnp.asarray(np.random.default_rng(0).standard_normal((2, 140, 3)), jnp.float32)
    graph = gaprompt.coarser(centers)
    weights = np.asarray(graph['gaprompt_weights'])
    np.testing.assert_allclose(weights.sum(-1), 1, rtol=1e-5)
    assert weights.shape == (2, 140, 70)
    assert ((weights > 0).sum(-1) == 64).all()
    assert graph['gaprompt_near'].shape == (2, 70, 16)
    assert same(graph['gaprompt_near'][..., 0], graph['gaprompt_own'])


def test_interpolation_weighs_by_the_inverse_squared_distance() -> None:
    r = np.random.default_rng(0)
    targets, sources, values = (r.standard_normal((1, n, c)) for n, c in ((4, 3), (6, 3), (6, 2)))
    arrays = [jnp.asarray(a, jnp.float32) for a in (targets, sources, values)]
    found = interpolate(arrays[2], *interpolation(*arrays[:2], 3, 1e-4))
    for i in range(4):
        squared = np.square(targets[0, i] - sources[0]).sum(-1)
        near = np.argsort(squared)[:3]
        weights = 1 / (squared[near] + 1e-4)
        expected = weights @ values[0, near] / weights.sum()
        np.testing.assert_allclose(found[0, i], expected, rtol=1e-4)


def test_waves_are_the_coordinates_then_sine_and_cosine_at_four_frequencies() -> None:
    found = waves(jnp.array([[0.0, 0.5, 1.0]]))[0]
    assert found.shape == (27,)
    np.testing.assert_allclose(found[:3], [0, 0.5, 1])
    np.testing.assert_allclose(found[-6:-3], np.sin([0, 4, 8]), rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(found[-3:], np.cos([0, 4, 8]), rtol=1e-6)


@pytest.mark.slow
def test_pointlora_adds_the_negative_entropy_of_its_choice_to_the_loss() -> None:
    variables = fresh('point_mae', 'pointlora')[1]
    losses = []
    for weight in (0.0, 0.5):
        options = {**OPTIONS['pointlora'], 'loss_weight': weight}
        model = small('point_mae', 'pointlora', method_options=options)
        value, _ = classification().loss(
            model.module, variables, jnp.asarray(POINTS), LABELS, jax.random.key(0)
        )
        losses.append(float(value))
    # At the start every p is near a half, and two groupings weigh 1 and 1/4.
    np.testing.assert_allclose(losses[1] - losses[0], -0.5 * 1.25 * np.log(2), rtol=0.05)


@pytest.mark.slow
def test_pointlora_learns_nothing_of_its_choice_from_the_labels() -> None:
    """Chosen tokens are copied, not weighted: only the choice's own loss reaches the predictor."""
    model, variables = fresh('point_mae', 'pointlora')

    def total(params: dict) -> jax.Array:
        return jnp.square(model.module.apply({**variables, 'params': params}, POINTS)).sum()

    own = jax.jit(jax.grad(total), compiler_options=FAST)(variables['params'])['tuner']
    assert not any(np.any(leaf) for leaf in jax.tree.leaves(own['predictor']))
    assert any(np.any(leaf) for leaf in jax.tree.leaves(own['prompts']))


def test_the_negative_entropy_is_least_where_nothing_is_chosen() -> None:
    found = [float(pointlora.negative_entropy(jnp.full((1, 4), x))) for x in (-2.0, 0.0, 1.0)]
    assert min(found) == found[1]
    np.testing.assert_allclose(found[1], -np.log(2), rtol=1e-5)


@pytest.mark.slow
def test_ppts_prompts_take_the_tokenizers_statistics_along_a_second_time() -> None:
    """Training mode, two passes: 0.9 (0.9 old + 0.1 patches) + 0.1 prompts."""
    _, variables = fresh('point_mae', 'ppt')
    groups = {'num_groups': SMALL['num_groups'], 'group_size': SMALL['group_size']}
    moved = []
    for method, options in (('full', None), ('ppt', {**groups, 'hidden': 4})):
        model = small('point_mae', method, method_options=options, readout=('cls',))
        own = model.init(jax.random.key(0))
        own['params']['backbone'] = variables['params']['backbone']
        _, updates = model.module.apply(
            own, POINTS, True, mutable=['batch_stats'], rngs={'dropout': jax.random.key(0)}
        )
        moved.append(
            np.asarray(updates['batch_stats']['backbone']['tokenizer']['first_norm']['mean'])
        )
    np.testing.assert_allclose(moved[1], 1.9 * moved[0], rtol=1e-4)


@pytest.mark.parametrize(
    ('method', 'message'),
    [
        ('ppt+gaprompt', 'ppt and gaprompt each make the first tokens'),
        ('stag+ppt', 'stag and ppt each make the first tokens'),
    ],
)
def test_two_methods_can_not_both_make_the_first_tokens(method: str, message: str) -> None:
    options = {part: OPTIONS[part] for part in method.split('+')}
    with pytest.raises(UserError, match=message):
        small('point_mae', method, method_options=options, readout=('cls',)).shapes()


def test_a_readout_of_what_no_method_put_aside_says_so() -> None:
    with pytest.raises(UserError, match="readout 'aside' needs aside tokens"):
        small('point_mae', 'full', readout=('aside',)).shapes()


def test_an_activation_that_there_is_not_is_named() -> None:
    with pytest.raises(UserError, match="activation is 'swish'; expected 'relu' or 'gelu'"):
        small('point_mae', 'full', head={'activation': 'swish'}).shapes()
