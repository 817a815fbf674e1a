"""Tokens: room for prompts that are still to come changes nothing."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from point_ft_jax.models import create_model
from point_ft_jax.models.model import Model
from point_ft_jax.models.networks import Segmenter
from point_ft_jax.models.tokens import Tokens
from point_ft_jax.training import losses

POINTS = np.random.default_rng(0).uniform(-0.6, 0.6, (3, 48, 3)).astype(np.float32)
LABELS = np.arange(3)
PLAIN = {'width': 16, 'depth': 2, 'heads': 2, 'num_groups': 8, 'group_size': 4}
HIERARCHY = {
    'widths': (8, 16),
    'depths': (2, 1),
    'heads': 2,
    'num_groups': (16, 8),
    'group_sizes': (4, 2),
    'radii': (0.5, 0.9),  # few enough neighbours that attention is masked
}
READOUTS = ('prompts_first', 'prompts_last', 'prompts_mean', 'prompts_max', 'patches_max')


def tokens(prompts: int) -> Tokens:
    """Tokens whose values tell where they come from: prompts count from 100, the newest least."""

    def kind(first: float, number: int) -> jax.Array:
        return jnp.broadcast_to(first + jnp.arange(number)[None, :, None], (2, number, 4))

    return Tokens(kind(1.0, 2), kind(50.0, 3), jnp.zeros((2, 3, 3)), slots=kind(100.0, prompts))


@pytest.mark.parametrize('prompts', range(6))
def test_room_is_empty_slots_behind_the_prompts(prompts: int) -> None:
    bare = tokens(prompts)
    roomy = bare.with_room(4)
    assert roomy.slots.shape[1] % 4 == 0
    assert 1 <= roomy.empty <= 4
    assert np.array_equal(roomy.prompts, bare.prompts)
    assert roomy.with_room(4) is roomy
    x = roomy.sequence().at[:, 2 + prompts : 2 + roomy.slots.shape[1]].set(1e6)
    assert np.allclose(roomy.mean(x), bare.mean(bare.sequence()))
    assert np.array_equal(roomy.with_sequence(x).prompts, bare.prompts)
    assert np.array_equal(roomy.with_sequence(x).patches, bare.patches)


def test_the_mean_of_half_precision_is_as_exact_with_room() -> None:
    x = jax.random.normal(jax.random.key(0), (4, 133, 8)) + 3
    bare = Tokens(x[:, :1], x[:, 1:129], x[:, 1:129, :3], slots=x[:, 129:132])
    means = [t.mean(t.sequence().astype(jnp.bfloat16)) for t in (bare, bare.with_room(4))]
    assert means[0].dtype == means[1].dtype == jnp.bfloat16
    np.testing.assert_allclose(*(m.astype(jnp.float32) for m in means), rtol=2**-8)
    exact = bare.sequence().astype(jnp.bfloat16).astype(jnp.float32).mean(1)
    error = np.mean(means[1][:, 0].astype(jnp.float32) - exact)
    assert abs(error) < 2e-3  # 1/132 in half precision alone would make it 4e-3


@pytest.mark.parametrize('positions', [False, True])
@pytest.mark.parametrize('number', [1, 3, 6])
def test_new_prompts_take_empty_slots(number: int, positions: bool) -> None:
    new = jnp.full((2, number, 4), 7.0)
    at = new / 2 if positions else None
    bare, roomy = (t.prepend(new, at) for t in (tokens(3), tokens(3).with_room(4)))
    assert np.array_equal(roomy.prompts, bare.prompts)
    assert np.array_equal(roomy.settle().prompts, bare.settle().prompts)
    assert roomy.empty == max(1 - number, 0)
    assert bare.attention_mask() is None


def test_nothing_sees_an_empty_slot() -> None:
    roomy = tokens(1).with_room(4)
    seen = [True] * 3 + [False] * 3 + [True] * 3
    assert roomy.attention_mask()[0, 0, 0].tolist() == seen
    near = jnp.asarray([np.eye(3, dtype=bool)] * 2)
    masked = roomy.replace(mask=near).attention_mask()
    assert masked.shape == (2, 1, 9, 9)
    assert masked[0, 0, 0].tolist() == seen
    assert masked[0, 0, 7].tolist() == [*seen[:6], False, True, False]


@functools.cache
def dapt(backbone: str, method: str, slots: int, parts: bool) -> Model:
    options = {'rank': 4, 'slots': slots}
    return create_model(
        backbone,
        3,
        method=method,
        num_parts=5 if parts else None,
        geometry=HIERARCHY if backbone == 'point_m2ae' else PLAIN,
        method_options=options if method == 'dapt' else {'dapt': options},
        readout=('prompts_mean', 'patches_max') if parts else READOUTS,
        head={} if parts else {'dropout': 0.0},
    )


def answers(model: Model, variables: dict) -> tuple[jax.Array, dict]:
    """The logits in evaluation, and the gradient of a loss in them."""
    more = (jnp.asarray(LABELS),) if isinstance(model.module, Segmenter) else ()

    def loss(tree: dict) -> tuple[jax.Array, jax.Array]:
        logits = model.module.apply({**variables, 'params': tree}, POINTS, *more, False)
        labels = jnp.broadcast_to(LABELS.reshape(3, *[1] * (logits.ndim - 2)), logits.shape[:-1])
        return losses.cross_entropy(logits, labels).mean(), logits

    run = jax.jit(jax.grad(loss, has_aux=True))
    gradient, logits = run(variables['params'])
    return logits, gradient


@pytest.mark.slow
@pytest.mark.parametrize(
    ('backbone', 'method', 'parts'),
    [
        ('recon', 'prefix+dapt', False),
        ('recon_two_stream', 'dapt', False),
        ('point_m2ae', 'dapt', True),
        ('point_mae', 'dapt', True),
    ],
)
def test_slots_change_neither_dapts_answers_nor_its_gradients(
    backbone: str, method: str, parts: bool
) -> None:
    bare, roomy = (dapt(backbone, method, slots, parts) for slots in (0, 3))
    r = np.random.default_rng(0)
    variables = jax.tree.map(
        lambda leaf: np.asarray(leaf) + r.normal(0, 0.05, leaf.shape), bare.init(jax.random.key(0))
    )
    with jax.enable_x64(True):
        found, expected = answers(roomy, variables), answers(bare, variables)
    assert expected[0].dtype == np.float64
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12), found, expected
    )
