"""Part-segmentation heads: published sizes and names, and their operations by their definitions."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from key_lists import state_dict

from point_ft_jax.core import trees
from point_ft_jax.core.errors import UserError
from point_ft_jax.models import create_model
from point_ft_jax.models.model import Model
from point_ft_jax.models.propagation import GraphPropagation, Interpolated, Joined, three_nearest

PLAIN = {'width': 24, 'depth': 3, 'heads': 2, 'num_groups': 8, 'group_size': 4}
LEVELS = {
    'widths': (8, 12, 16),
    'depths': (1, 1, 1),
    'heads': 2,
    'num_groups': (16, 12, 8),
    'group_sizes': (4, 3, 3),
}
FAST = {'xla_backend_optimization_level': 0}  # compiling is nearly all that takes time here
NARROW = {'propagation': (16, 12), 'widths': (10, 8)}


# Every architecture, and every form of what its head reads.
DISTINCT = [
    *((b, 'full') for b in ('point_mae', 'point_bert', 'recon_two_stream', 'point_m2ae')),
    *((b, m) for b in ('point_mae', 'point_bert') for m in ('idpt', 'dapt')),
    *(
        pytest.param('point_mae', m, marks=pytest.mark.slow)
        for m in ('stag', 'ppt', 'gaprompt', 'pointlora')
    ),
]


def build_parts(backbone: str, method: str = 'full', **options: object) -> Model:
    """A segmenter at the published size of ShapeNetPart."""
    return create_model(backbone, 16, method=method, num_parts=50, **options)


def small(backbone: str, method: str = 'full', **options: object) -> Model:
    """A narrow segmenter of three categories and seven parts."""
    geometry = LEVELS if backbone == 'point_m2ae' else PLAIN
    return create_model(
        backbone, 3, method=method, num_parts=7, geometry=geometry, head=NARROW, **options
    )


@pytest.mark.parametrize(
    ('backbone', 'parameters'),
    [
        ('point_mae', 27_063_730),
        ('act', 27_063_730),
        ('point_bert', 27_085_874),
        ('recon_two_stream', 48_542_386),
        ('point_m2ae', 25_474_354),
    ],
)
def test_segmenters_have_the_published_number_of_parameters(backbone: str, parameters: int) -> None:
    assert trees.count(build_parts(backbone).shapes()['params']) == parameters


@pytest.mark.parametrize(
    ('method', 'options', 'trains'),
    [
        ('full', {}, 27_063_730),
        ('linear_probe', {}, 5_238_706),  # the decoder
        ('idpt', {}, 5_686_066),
        ('dapt', {'rank': 30}, 5_646_118),
        ('dapt', {'rank': 32}, 5_664_574),
        # Nobody has counted these; they are the decoder and, of each, what it has of its own.
        ('lora', {}, 5_238_706 + 589_824),
        ('ssf', {}, 5_238_706 + 102_912),
        ('adaptformer', {}, 5_238_706 + 595_200),
        ('vpt', {}, 5_238_706 + 92_160),
        ('pointgst', {}, 5_238_706 + 354_528),
    ],
)
def test_as_many_parameters_of_point_mae_train_as_published(
    method: str, options: dict, trains: int
) -> None:
    model = build_parts('point_mae', method, method_options=options)
    tree = model.shapes()['params']
    chosen = trees.select(tree, model.method.trainable)
    assert trees.count(trees.partition(tree, chosen)[0]) == trains


@pytest.mark.parametrize(
    ('file', 'backbone'),
    [
        ('seg_pmae', 'point_mae'),
        ('seg_act', 'act'),
        ('seg_recon', 'recon_two_stream'),
        ('seg_m2ae', 'point_m2ae'),
        ('seg_pbert', 'point_bert'),
    ],
)
@pytest.mark.parametrize('wrapper', ['', 'module.'])
def test_a_published_segmenter_loads_whole_and_is_exported_under_its_keys(
    file: str, backbone: str, wrapper: str
) -> None:
    model, state = build_parts(backbone), state_dict(file, wrapper)
    loaded, report = model.load_all(model.shapes(), state, file)
    assert len(report.loaded) + report.counters == len(state)
    assert report.parameters == trees.count(loaded['params'])
    if not wrapper:
        exported = {key: value.shape for key, value in model.export(loaded).items()}
        assert exported == {key: value.shape for key, value in state.items()}


def test_the_published_segmenter_of_scenes_loads_without_a_category() -> None:
    model = create_model('act', 1, num_parts=13, head={'sees_category': False})
    state = state_dict('seg_act_s3dis')
    loaded, report = model.load_all(model.shapes(), state, 'seg_act_s3dis')
    assert len(report.loaded) + report.counters == len(state)
    assert report.parameters == trees.count(loaded['params']) == 27_020_301
    exported = {key: value.shape for key, value in model.export(loaded).items()}
    assert exported == {key: value.shape for key, value in state.items()}


@pytest.mark.parametrize('backbone', ['act', 'point_m2ae', 'point_bert'])
def test_without_categories_a_segmenter_says_the_same_of_any(backbone: str) -> None:
    geometry = LEVELS if backbone == 'point_m2ae' else PLAIN
    head = {**NARROW, 'sees_category': False}
    model = create_model(backbone, 1, num_parts=7, geometry=geometry, head=head)
    assert 'category' not in model.shapes()['params']['head']
    points = jnp.zeros((2, 32, 3))
    logits = jax.eval_shape(model.module.apply, model.shapes(), points, jnp.zeros(2, jnp.int32))
    assert logits.shape == (2, 32, 7)


@pytest.mark.parametrize(
    ('file', 'backbone', 'new', 'left'),
    [
        ('pmae_pre', 'point_mae', (), 53),
        ('act_pre', 'act', (), 39),  # its class token too
        ('recon_pre', 'recon', (), 207),
        ('recon_pre', 'recon_two_stream', (), 57),
        ('pbert_pre', 'point_bert', (), 245),
        ('m2ae_pre', 'point_m2ae', (), 53),  # the norms of the levels are used here
        ('seg_pmae', 'point_mae', (), 31),  # another segmenter lends its backbone
        ('pmae_cls40', 'point_mae', (), 16),
    ],
)
def test_other_files_give_a_segmenter_its_backbone(
    file: str, backbone: str, new: tuple, left: int
) -> None:
    model = build_parts(backbone)
    variables = model.shapes()
    loaded, report = model.load_backbone(variables, state_dict(file), file)
    assert tuple(report.new) == new
    assert len(report.left) == left
    assert loaded['params']['head'] is variables['params']['head']


def test_a_segmenter_lends_its_backbone_to_a_classifier() -> None:
    model = create_model('point_mae', 15)
    _, report = model.load_backbone(model.shapes(), state_dict('seg_pmae'), 'seg_pmae')
    assert set(report.new) == {'cls_token', 'cls_pos'}


@pytest.mark.parametrize(('backbone', 'method'), DISTINCT)
def test_every_point_gets_logits_and_every_head_parameter_a_gradient(
    backbone: str, method: str
) -> None:
    options = {
        'idpt': {'prompt_layers': (0, 1, 2)},
        'dapt': {'rank': 2},
        'stag': {'first': 0},
        'ppt': {'num_groups': 8, 'group_size': 4},
        'pointlora': {'selections': ((8, 4, 3, 1.0),)},
    }.get(method)
    model = small(backbone, method, method_options=options)
    r = np.random.default_rng(0)
    points = r.uniform(-0.6, 0.6, (2, 32, 3)).astype(np.float32)
    variables = jax.tree.map(lambda leaf: r.uniform(0.1, 0.3, leaf.shape), model.shapes())

    def total(head: dict) -> tuple:
        tree = {**variables, 'params': {**variables['params'], 'head': head}}
        logits = model.module.apply(tree, points, np.array([0, 2]))
        return jnp.square(logits).sum(), logits

    run = jax.jit(jax.grad(total, has_aux=True), compiler_options=FAST)
    gradients, logits = run(variables['params']['head'])
    assert logits.shape == (2, 32, 7)
    assert np.ptp(logits, axis=1).min() > 0
    assert all(np.any(leaf) for leaf in trees.flatten(gradients).values())


def test_prompts_that_the_head_reads_must_be_there() -> None:
    model = small('point_mae', 'idpt', method_options={'prompt_layers': (0,)})
    with pytest.raises(UserError, match="readout 'prompts_first' needs prompts tokens"):
        model.shapes()


@pytest.mark.parametrize('centers', [2, 3, 9])
def test_three_nearest_weighs_by_the_inverse_squared_distance(centers: int) -> None:
    r = np.random.default_rng(1)
    points, at = r.standard_normal((2, 5, 3)), r.standard_normal((2, centers, 3))
    points[0, 0] = at[0, 1]  # a point that is a centre has its value
    matrix = three_nearest(jnp.asarray(points, jnp.float32), jnp.asarray(at, jnp.float32))
    expected = np.zeros((2, 5, centers))
    for b, n in np.ndindex(2, 5):
        squared = np.square(points[b, n] - at[b]).sum(-1)
        nearest = np.argsort(squared)[:3]
        weights = 1 / (squared[nearest] + 1e-8)
        expected[b, n, nearest] = weights / weights.sum()
    np.testing.assert_allclose(matrix, expected, atol=1e-5)
    np.testing.assert_allclose(matrix[0, 0], np.arange(centers) == 1, atol=1e-5)


@pytest.mark.parametrize('width', [2, 9])  # narrower, and wider, than there are centres
def test_a_joined_map_is_that_of_the_concatenation(width: int) -> None:
    r = np.random.default_rng(2)
    own, shared = r.standard_normal((2, 6, 3)), r.standard_normal((2, 1, 4))
    values, matrix = r.standard_normal((2, 5, width)), r.standard_normal((2, 6, 5))
    parts = [own, shared, shared[..., :0], Interpolated(values, matrix)]
    parts = jax.tree.map(lambda a: jnp.asarray(a, jnp.float32), parts)
    module = Joined(8)
    variables = module.init(jax.random.key(0), parts)
    whole = np.concatenate([own, shared.repeat(6, 1), matrix @ values], axis=-1)
    tree = variables['params']
    expected = whole @ np.asarray(tree['kernel']) + np.asarray(tree['bias'])
    np.testing.assert_allclose(module.apply(variables, parts), expected, atol=1e-4)


def test_graph_propagation_by_its_definition() -> None:
    r = np.random.default_rng(3)
    centers, queries = r.standard_normal((2, 9, 3)), r.standard_normal((2, 12, 3))
    values, own = r.standard_normal((2, 9, 4)), r.standard_normal((2, 12, 4))
    arrays = [jnp.asarray(a, jnp.float32) for a in (centers, values, queries, own)]
    module = GraphPropagation(hidden=8, neighbors=3, groups=2)
    variables = module.init(jax.random.key(0), *arrays)
    tree = jax.tree.map(
        lambda leaf: r.standard_normal(leaf.shape).astype(np.float32), variables['params']
    )

    def layer(index: int, own: np.ndarray, at: np.ndarray, values: np.ndarray) -> np.ndarray:
        squared = np.square(queries[:, :, None] - at[:, None]).sum(-1)
        nearest = np.argsort(squared, axis=-1)[..., :3]
        near = np.stack([v[i] for v, i in zip(values, nearest, strict=True)])
        own = np.broadcast_to(own[:, :, None], near.shape)
        x = np.concatenate([near - own, own], axis=-1) @ tree[f'layer_{index}']['kernel']
        grouped = x.reshape(2, 12, 3, 2, -1)  # two groups of channels, each a cloud's
        mean, var = (f(grouped, axis=(1, 2, 4), keepdims=True) for f in (np.mean, np.var))
        norm = tree[f'norm_{index}']
        x = ((grouped - mean) / np.sqrt(var + 1e-5)).reshape(x.shape)
        x = x * norm['scale'] + norm['bias']
        return np.where(x > 0, x, 0.2 * x).max(axis=2)

    expected = layer(0, own, centers, values)
    expected = layer(1, expected, queries, expected)
    np.testing.assert_allclose(module.apply({'params': tree}, *arrays), expected, atol=1e-4)
