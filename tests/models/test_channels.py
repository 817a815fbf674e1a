"""What a point has beside its place: taken, filled in, refused; and weights for what is new."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from point_ft_jax.core.errors import UserError
from point_ft_jax.models import create_model
from point_ft_jax.models.model import Model

SMALL = {'width': 12, 'heads': 2, 'depth': 1, 'num_groups': 8, 'group_size': 4}
LEVELS = {
    'widths': (8, 16),
    'depths': (1, 1),
    'heads': 2,
    'num_groups': (16, 8),
    'group_sizes': (4, 2),
    'radii': (0.6, 1.2),
}
GEOMETRY = {'point_mae': SMALL, 'point_m2ae': LEVELS, 'uni3d': SMALL}
CLOUDS = np.random.default_rng(0).uniform(-1, 1, (2, 32, 6)).astype(np.float32)
PLACES = CLOUDS[..., :3]


@functools.cache
def small(backbone: str, **more: object) -> Model:
    return create_model(backbone, 3, geometry={**GEOMETRY[backbone], **more})


def features(model: Model, variables: dict, clouds: np.ndarray, train: bool = False) -> np.ndarray:
    run = functools.partial(
        model.module.apply,
        train=train,
        mutable=['batch_stats'],
        method='features',
        rngs={'dropout': jax.random.key(0)},
    )
    return jax.jit(run)(variables, clouds)[0]


def test_a_cloud_without_colours_is_grey_to_uni3d() -> None:
    model = small('uni3d')
    variables = model.init(jax.random.key(0))
    grey = np.concatenate([PLACES, np.full_like(PLACES, 0.4)], axis=-1)
    found = features(model, variables, PLACES)
    np.testing.assert_array_equal(found, features(model, variables, grey))
    assert np.abs(found - features(model, variables, CLOUDS)).max() > 1e-3


@pytest.mark.parametrize(
    ('backbone', 'clouds', 'message'),
    [
        ('point_mae', CLOUDS, r'clouds of 6 channels; this backbone takes 3 \(x, y, z\): leave'),
        ('point_m2ae', CLOUDS, 'or build it with geometry.input_channels=6'),
        ('uni3d', CLOUDS[..., :4], r'clouds of 4 channels; .* takes 6 \(x, y, z and 3 more\)'),
    ],
)
def test_channels_that_a_backbone_does_not_take_are_refused(
    backbone: str, clouds: np.ndarray, message: str
) -> None:
    model = small(backbone)
    with pytest.raises(UserError, match=message):
        jax.eval_shape(model.module.apply, model.shapes(), clouds)


def test_what_is_not_filled_in_is_refused() -> None:
    model = small('point_mae', input_channels=6)
    with pytest.raises(UserError, match='clouds of 3 channels; this backbone takes 6'):
        jax.eval_shape(model.module.apply, model.shapes(), PLACES)


@pytest.mark.parametrize(
    'backbone', ['point_mae', pytest.param('point_m2ae', marks=pytest.mark.slow)]
)
def test_a_widened_model_starts_as_the_function_that_it_was(backbone: str) -> None:
    """To the bit, whatever the new channels hold, in training mode too."""
    narrow, wide = small(backbone), small(backbone, input_channels=6)
    variables = narrow.init(jax.random.key(0))
    state = narrow.export(variables)
    start = wide.init(jax.random.key(1))
    loaded, report = wide.load_backbone(start, state, 'a file of x, y, z')
    assert len(report.widened) == 1
    assert report.new == ()
    assert f'zeros for new channels in {report.widened[0]}' in str(report)
    assert wide.fit_backbone(wide.shapes(), state).problems == []
    loaded['params']['head'] = variables['params']['head']
    for train in (False, True):
        found = features(wide, loaded, CLOUDS, train)
        np.testing.assert_array_equal(found, features(narrow, variables, PLACES, train))


def test_what_a_tuned_model_needs_whole_is_not_widened() -> None:
    narrow, wide = small('point_mae'), small('point_mae', input_channels=6)
    state = narrow.export(narrow.init(jax.random.key(0)))
    with pytest.raises(UserError, match=r'found \(128, 3, 1\), expected \(128, 6, 1\)'):
        wide.load_all(wide.shapes(), state, 'a fine-tuned file')


def test_new_channels_learn() -> None:
    """Their gradient is there from the first step on, though their weights are zeros."""
    model = small('point_mae', input_channels=6)
    variables = model.init(jax.random.key(0))
    kernel = variables['params']['backbone']['tokenizer']['first_0']['kernel']
    variables['params']['backbone']['tokenizer']['first_0']['kernel'] = kernel.at[3:].set(0)

    def loss(params: dict) -> jax.Array:
        return jnp.square(model.module.apply({**variables, 'params': params}, CLOUDS)).sum()

    gradient = jax.jit(jax.grad(loss))(variables['params'])['backbone']['tokenizer']['first_0']
    assert np.abs(gradient['kernel'][3:]).max() > 0
