"""What the hierarchical backbone has of its own: levels, local attention, the two readouts."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from point_ft_jax.core.errors import UserError
from point_ft_jax.models import create_model
from point_ft_jax.models.hierarchical import HierarchicalTransformer, group_levels, near
from point_ft_jax.models.readout import read_out
from point_ft_jax.models.tokens import Tokens
from point_ft_jax.models.tuner import Tuner

GEOMETRY = {
    'widths': (12, 24, 48),
    'heads': 3,
    'depths': (2, 1, 2),
    'num_groups': (24, 16, 9),
    'group_sizes': (7, 6, 5),
}


def trace(tuner: Tuner, **fields: object) -> None:
    backbone = HierarchicalTransformer(**GEOMETRY, **fields)
    points = jnp.zeros((2, 32, 3))
    jax.eval_shape(lambda: backbone.init_with_output(jax.random.key(0), points, tuner))


def test_every_level_has_the_seams_and_drop_path_grows_through_all_blocks() -> None:
    blocks, layers = [], []

    class Recorder(Tuner):
        def layer(self, module, x):
            layers.append('/'.join(module.path))
            return module(x)

        def block(self, block, tokens):
            blocks.append(('/'.join(block.path), block.index, round(block.drop_path, 6)))
            return block(tokens)

    trace(Recorder(), drop_path=0.4)
    assert blocks == [
        ('level_0/block_0', 0, 0.0),
        ('level_0/block_1', 1, 0.1),
        ('level_1/block_0', 0, 0.2),
        ('level_2/block_0', 0, 0.3),
        ('level_2/block_1', 1, 0.4),
    ]
    inside = ('norm1', 'attention/qkv', 'attention/proj', 'norm2', 'mlp/fc1', 'mlp/fc2')
    expected = {f'{name}/{layer}' for name, _, _ in blocks for layer in inside}
    assert set(layers) == expected | {f'level_{i}/tokenizer' for i in range(3)} | {'norm'}


def test_prompts_stay_within_their_level() -> None:
    seen = []

    class Prompter(Tuner):
        def block(self, block, tokens):
            seen.append(tokens.prompts.shape[1])
            return block(tokens.prepend(tokens.patches[:, :1]))

    trace(Prompter())
    assert seen == [0, 1, 0, 0, 1]


def test_each_level_is_made_of_the_one_before() -> None:
    points = np.random.default_rng(0).uniform(-1, 1, (2, 40, 3)).astype(np.float32)
    first, second = group_levels(points, (12, 5), (6, 4))
    assert first.groups.shape == (2, 12, 6, 3)
    assert second.indices.shape == (2, 5, 4)
    assert second.indices.max() < 12
    np.testing.assert_array_equal(second.centers[:, 0], first.centers[:, 0])


@pytest.mark.parametrize(('groups', 'sizes'), [((8, 9), (4, 4)), ((8, 4), (4, 9))])
def test_a_level_can_not_ask_for_more_than_there_is(groups: tuple, sizes: tuple) -> None:
    with pytest.raises(UserError, match='a level of 8 groups can not be merged'):
        group_levels(np.zeros((1, 32, 3), np.float32), groups, sizes)


def test_attention_reaches_what_is_closer_than_the_radius() -> None:
    centers = jnp.array([[[0.0, 0, 0], [0.5, 0, 0], [0, 1, 0]]])
    expected = np.array([[[1, 1, 0], [1, 1, 0], [0, 0, 1]]], bool)
    np.testing.assert_array_equal(near(centers, 1.0), expected)  # at the radius is too far
    assert near(centers, None) is None


@pytest.mark.parametrize('radii', [None, ()])
def test_without_radii_attention_reaches_everywhere(radii: tuple | None) -> None:
    built = create_model('point_m2ae', 3, geometry={**GEOMETRY, 'radii': radii})
    masks = []

    class Recorder(Tuner):
        def block(self, block, tokens):
            masks.append(tokens.mask)
            return block(tokens)

    jax.eval_shape(
        lambda: built.module.backbone.init_with_output(
            jax.random.key(0), jnp.zeros((2, 32, 3)), Recorder()
        )
    )
    assert masks == [None] * 5


def test_the_published_readouts() -> None:
    patches = jnp.array([[[9.0, 0.0], [2.0, 3.0], [1.0, 6.0]]])
    tokens = Tokens(patches[:, :0], patches, patches, slots=patches[:, :0])
    modelnet = read_out(tokens, ('patches_mean_plus_max',))
    scan = read_out(tokens, ('patches_mean', 'patches_max_but_first'))
    np.testing.assert_allclose(modelnet, [[4 + 9, 3 + 6]])
    np.testing.assert_allclose(scan, [[4, 3, 2, 6]])
    with pytest.raises(UserError, match='needs cls tokens'):
        read_out(tokens, ('cls',))
