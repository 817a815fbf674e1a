"""What every backbone keeps to, found by its file's name.

What has to run does so at a small depth, width and number of groups.
"""

import functools
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from point_ft_jax.core import plugins, trees
from point_ft_jax.core.errors import UserError
from point_ft_jax.models import create_model, torch_names
from point_ft_jax.models.aligned_transformer import AlignedTransformer
from point_ft_jax.models.causal_query_transformer import CausalQueryTransformer
from point_ft_jax.models.causal_transformer import CausalTransformer
from point_ft_jax.models.hierarchical import HierarchicalTransformer
from point_ft_jax.models.model import Model
from point_ft_jax.models.point_transformer import PointTransformer
from point_ft_jax.models.query_transformer import AlignedQueryTransformer

BACKBONES = plugins.available('backbones')
POINTS, CLASSES = 40, 5
# Numbers that can't be mistaken for each other.
SMALL = {
    CausalTransformer: {
        **{'width': 48, 'heads': 3, 'depth': 1, 'generator_depth': 1},
        **{'num_groups': 9, 'group_size': 7, 'tokenizer_widths': (16, 24, 32, 40)},
    },
    PointTransformer: {'width': 48, 'heads': 3, 'depth': 1, 'num_groups': 9, 'group_size': 7},
    AlignedTransformer: {
        **{'width': 48, 'heads': 3, 'depth': 1, 'num_groups': 9, 'group_size': 7},
        **{'aligned_width': 10, 'image_tokens': 5, 'image_classes': 2},
    },
    AlignedQueryTransformer: {
        **{'width': 48, 'heads': 3, 'depth': 1, 'num_groups': 9, 'group_size': 7},
        'aligned_width': 10,
    },
    CausalQueryTransformer: {
        **{'width': 48, 'heads': 3, 'depth': 1, 'num_groups': 9, 'group_size': 7},
        **{'decoder_depth': 1, 'tokenizer_widths': (128, 256, 512)},
    },
    HierarchicalTransformer: {
        'widths': (12, 24, 48),
        'heads': 3,
        'depths': (1, 1, 1),
        'num_groups': (24, 16, 9),
        'group_sizes': (7, 6, 5),
    },
}


@functools.cache
def small(name: str, dtype: str | None = None) -> Model:
    geometry = SMALL[type(plugins.load('backbones', name).BACKBONE.build())]
    return create_model(name, CLASSES, geometry=geometry, dtype=dtype)


@functools.cache
def variables(name: str) -> dict[str, trees.Tree]:
    """Random values for every leaf; those of a fresh model leave too much at zero or one."""
    r = np.random.default_rng(0)

    def value(path: str, leaf: jax.ShapeDtypeStruct) -> np.ndarray:
        if path.endswith('/var'):
            return r.uniform(0.5, 1.5, leaf.shape).astype(np.float32)
        if path.endswith('/kernel'):
            return r.normal(0, leaf.shape[0] ** -0.5, leaf.shape).astype(np.float32)
        center = 1.0 if path.endswith('/scale') else 0.0
        return r.normal(center, 0.1, leaf.shape).astype(np.float32)

    shapes = small(name).shapes()
    return {collection: trees.map_paths(value, tree) for collection, tree in shapes.items()}


@functools.cache
def compiled(name: str, dtype: str | None = None):
    """(variables, points) to (tokens, logits) in evaluation mode."""
    module = small(name, dtype).module

    def run(module, points):
        return module.backbone(points, module.tuner), module(points)

    return jax.jit(lambda tree, points: module.apply(tree, points, method=run))


def clouds(batch: int = 3) -> np.ndarray:
    return np.random.default_rng(1).uniform(-1, 1, (batch, POINTS, 3)).astype(np.float32)


@pytest.mark.parametrize('name', BACKBONES)
def test_clouds_become_tokens_features_and_logits(name: str) -> None:
    points = clouds()
    tokens, logits = compiled(name)(variables(name), points)
    backbone = small(name).module.backbone
    num_cls = getattr(backbone, 'num_queries', len(getattr(backbone, 'global_tokens', ())))
    assert tokens.cls.shape == (3, num_cls, 48)
    assert tokens.patches.shape == (3, 9, 48)
    assert tokens.prompts.shape == (3, 0, 48)
    assert tokens.centers.shape == (3, 9, 3)
    assert logits.shape == (3, CLASSES)
    assert logits.dtype == jnp.float32
    assert np.isin(np.asarray(tokens.centers[0]), points[0]).all()
    assert np.ptp(logits, axis=0).min() > 1e-3  # another cloud, other logits


@pytest.mark.parametrize('name', BACKBONES)
def test_evaluation_is_deterministic_and_needs_no_keys(name: str) -> None:
    first = compiled(name)(variables(name), clouds())
    second = compiled(name)(variables(name), clouds())
    jax.tree.map(np.testing.assert_array_equal, first, second)


@pytest.mark.parametrize('name', BACKBONES)
def test_the_order_of_points_matters_by_the_first_one_only(name: str) -> None:
    """Farthest-point sampling starts at the first point; nothing else depends on the order."""
    points = clouds()
    order = np.r_[0, 1 + np.random.default_rng(2).permutation(POINTS - 1)]
    first = compiled(name)(variables(name), points)
    second = compiled(name)(variables(name), points[:, order])
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5), first, second)


@pytest.mark.parametrize('name', BACKBONES)
def test_a_cloud_is_classified_by_itself(name: str) -> None:
    """A batch of one gives what the cloud gives among others."""
    _, among_others = compiled(name)(variables(name), clouds())
    _, alone = compiled(name)(variables(name), clouds()[:1])
    np.testing.assert_allclose(alone, among_others[:1], atol=1e-5)


@pytest.mark.parametrize('name', BACKBONES)
def test_repeated_points_are_defined(name: str) -> None:
    """Fewer distinct points than groups or neighbours, one point alone, all at the origin."""
    few, one, origin = clouds()
    repeated = np.stack([np.resize(few[:4], few.shape), np.resize(one[:1], one.shape), 0 * origin])
    tokens, logits = compiled(name)(variables(name), repeated)
    assert np.isfinite(logits).all()
    assert np.isin(np.asarray(tokens.centers[0]), few[:4]).all()


@pytest.mark.parametrize('name', BACKBONES)
def test_bfloat16_is_float32_up_to_its_rounding(name: str) -> None:
    """Its 8 bits round by 2^-9 a step; the steps here, some thirty, add up to a few per cent."""
    _, exact = compiled(name)(variables(name), clouds())
    tokens, rounded = compiled(name, 'bfloat16')(variables(name), clouds())
    assert tokens.patches.dtype == jnp.bfloat16
    assert rounded.dtype == jnp.float32
    error = np.abs(rounded - exact).max() / np.abs(exact).max()
    assert 0 < error < 0.05


@pytest.mark.parametrize('name', BACKBONES)
def test_too_small_a_cloud_is_refused(name: str) -> None:
    fewest = small(name).module.backbone.fewest_points
    tree, apply = variables(name), small(name).module.apply
    jax.eval_shape(apply, tree, clouds()[:, :fewest])
    with pytest.raises(UserError, match=f'needs {fewest} at least'):
        jax.eval_shape(apply, tree, clouds()[:, : fewest - 1])


@pytest.mark.parametrize('name', BACKBONES)
def test_export_to_pytorch_and_back_is_exact(name: str) -> None:
    model, tree = small(name), variables(name)
    state = model.export(tree)
    empty = jax.tree.map(np.zeros_like, tree)
    again, report = model.load_all(empty, state, 'an export')
    jax.tree.map(np.testing.assert_array_equal, tree, again)
    assert (report.new, report.left) == ((), ())


@pytest.mark.parametrize('name', BACKBONES)
def test_the_table_of_pytorch_names_and_the_tree_cover_each_other(name: str) -> None:
    patterns, names = set(), set()
    models = (
        create_model(name, 40),
        create_model(name, 40, variant='tiny'),
        create_model(name, 16, num_parts=50),
    )
    for model in models:
        leaves = [path for tree in model.shapes().values() for path in trees.flatten(tree)]
        keys = {torch_names.torch_key(path, model.torch_names) for path in leaves}
        assert len(keys) == len(leaves)
        patterns |= {torch_names.NUMBERED.sub(r'\1_{\1}', path) for path in leaves}
        names |= set(model.torch_names)
    patterns |= {pattern.rpartition('/')[0] for pattern in patterns}
    assert names <= patterns


@pytest.mark.parametrize('name', BACKBONES)
def test_there_is_a_tiny_variant(name: str) -> None:
    tiny = create_model(name, 15, variant='tiny').shapes()['params']['backbone']
    assert 2e6 < trees.count(tiny) < 12e6


@pytest.mark.parametrize('name', BACKBONES)
def test_a_backbone_names_its_batch_norms(name: str) -> None:
    statistics = trees.flatten(small(name).shapes()['batch_stats'].get('backbone', {}))
    own = {path.rpartition('/')[0] for path in statistics}
    first = {path for path in own if not any(f'_{n}/' in path for n in range(1, 12))}
    named = plugins.load('backbones', name).BACKBONE.batch_norms
    assert set(named) <= first
    # A tokenizer with more maps has more of the same kind: 'first_norm_2'.
    assert {re.sub(r'_\d$', '', path) for path in first} == set(named)


@pytest.mark.parametrize('name', BACKBONES)
def test_a_backbone_offers_what_the_rest_reads(name: str) -> None:
    """As the docstring of `Backbone` says."""
    backbone = small(name).module.backbone
    for field in ('input_channels', 'fill', 'dtype', 'memory', 'drop_path', 'hold_statistics'):
        assert hasattr(backbone, field), field
    shapes = trees.flatten(small(name).shapes()['params']['backbone'])
    assert shapes[backbone.first_map].shape[-2] == backbone.input_channels
    assert backbone.fewest_points >= 1
    assert callable(backbone.stages)
