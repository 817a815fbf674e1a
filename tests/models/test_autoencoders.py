"""Masks, autoencoders and losses: what they promise, on small models of every kind."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from key_lists import key_list, state_dict

from point_ft_jax.core import plugins, trees
from point_ft_jax.core.errors import UserError
from point_ft_jax.models import AutoencoderSpec, build, create_model
from point_ft_jax.models.autoencoders import hierarchical, masking, reconstruction
from point_ft_jax.models.autoencoders.build import Autoencoder
from point_ft_jax.models.autoencoders.center_prediction import CenterPredictingAutoencoder, conceal
from point_ft_jax.models.autoencoders.hierarchical import HierarchicalAutoencoder
from point_ft_jax.models.autoencoders.masked import CONTRAST
from point_ft_jax.models.hierarchical import carry_down
from point_ft_jax.models.tokens import Tokens
from point_ft_jax.training.tasks import reconstruction as objective

BACKBONES = [
    name
    for name in plugins.available('backbones')
    if plugins.load('backbones', name).BACKBONE.pretraining is not None
]
PLAIN = {
    'geometry': {'width': 24, 'heads': 3, 'depth': 2, 'num_groups': 10, 'group_size': 6},
    'options': {'mask_ratio': 0.6, 'decoder_depth': 1, 'decoder_heads': 3},
}
LEVELS = {
    'geometry': {
        'widths': (6, 12, 24),
        'heads': 3,
        'depths': (1, 1, 1),
        'num_groups': (20, 16, 10),
        'group_sizes': (7, 5, 4),
    },
    'options': {'mask_ratio': 0.6, 'decoder_heads': 3},
}
CHAIN = {
    'geometry': {
        **PLAIN['geometry'],
        **{'num_groups': 14, 'generator_depth': 1, 'tokenizer_widths': (16, 24, 32)},
    },
    'options': {'mask_ratio': 0.6},
}
KINDS = {'point_m2ae': LEVELS, 'pointgpt': CHAIN}  # others: PLAIN
POINTS = np.random.default_rng(0).uniform(-1, 1, (3, 48, 3)).astype(np.float32)


@functools.cache
def small(name: str) -> Autoencoder:
    return build(AutoencoderSpec(name, **KINDS.get(name, PLAIN)))


@functools.cache
def variables(name: str) -> dict[str, trees.Tree]:
    return small(name).init(jax.random.key(0))


@functools.cache
def compiled(name: str):
    module = small(name).module

    def run(tree: dict, points: jax.Array, key: jax.Array | None, train: bool):
        rngs = {} if key is None else {'mask': key, 'dropout': key}
        return module.apply(tree, points, train=train, rngs=rngs, mutable=['batch_stats'])

    return jax.jit(run, static_argnames='train')


@pytest.mark.parametrize('mask', masking.MASKS)
def test_a_mask_hides_as_many_patches_of_every_cloud(mask: str) -> None:
    centers = jnp.asarray(np.random.default_rng(1).normal(size=(50, 12, 3)))
    hidden = masking.MASKS[mask](jax.random.key(0), centers, 7)
    assert (hidden.sum(1) == 7).all()
    assert hidden.any(0).all()
    assert len(np.unique(np.asarray(hidden), axis=0)) > 20
    keep, hide = masking.split(hidden, 7)
    both = np.concatenate([keep, hide], axis=1)
    np.testing.assert_array_equal(np.sort(both, axis=1), np.tile(np.arange(12), (50, 1)))
    assert np.take_along_axis(np.asarray(hidden), np.asarray(hide), axis=1).all()


def test_a_block_mask_hides_one_patch_and_those_nearest_to_it() -> None:
    centers = np.linspace(0, 1, 12)[:, None] * np.ones(3)
    hidden = masking.block(jax.random.key(0), jnp.asarray(centers)[None].repeat(20, 0), 5)
    for row in np.asarray(hidden):
        indices = np.flatnonzero(row)
        assert np.ptp(indices) == 4


@pytest.mark.parametrize('ratio', [0.0, 1.0, -0.5, 1.7, 0.05, float('nan')])
def test_a_mask_that_hides_nothing_or_all_is_refused(ratio: float) -> None:
    with pytest.raises(UserError, match=r'mask_ratio is .*hides 1 to 9 of the 10 patches'):
        masking.number_hidden(ratio, 10)


@pytest.mark.parametrize('name', BACKBONES)
def test_the_hidden_patches_are_what_is_to_be_reconstructed(name: str) -> None:
    found, _ = compiled(name)(variables(name), POINTS, jax.random.key(1), train=True)
    hidden = np.asarray(found.hidden)
    true = np.asarray(found.target + found.centers[:, :, None])
    size = small(name).module.backbone
    expected = size.group_sizes[0] if name == 'point_m2ae' else size.group_size
    assert found.predicted.shape == (*hidden.shape, expected, 3)
    for cloud in range(3):
        visible = np.asarray(found.visible[cloud])
        visible = visible[np.isfinite(visible).all(1)]
        for points in (visible, true[cloud][hidden[cloud]].reshape(-1, 3)):
            distances = np.abs(points[:, None] - POINTS[cloud][None]).sum(-1).min(1)
            assert distances.max() < 1e-6


@pytest.mark.parametrize('name', BACKBONES)
def test_evaluation_masks_alike_and_training_does_not(name: str) -> None:
    run, tree = compiled(name), variables(name)
    first, second = (run(tree, POINTS, None, train=False)[0] for _ in range(2))
    jax.tree.map(np.testing.assert_array_equal, first, second)
    masks = {
        np.asarray(run(tree, POINTS, jax.random.key(k), train=True)[0].visible).tobytes()
        for k in range(4)
    }
    assert len(masks) > 2


@pytest.mark.parametrize(
    'name', [pytest.param(n, marks=[pytest.mark.slow] * (n == 'point_m2ae')) for n in BACKBONES]
)
def test_the_loss_reaches_every_parameter_but_the_unread(name: str) -> None:
    """Unread are global tokens' own streams without a loss, the finest level's norm, and what the
    published PointGPT has for nothing."""
    module, tree = small(name).module, variables(name)

    def loss(p: trees.Tree) -> jax.Array:
        found, _ = module.apply(
            {**tree, 'params': p},
            POINTS,
            train=True,
            rngs={'mask': jax.random.key(0)},
            mutable=['batch_stats'],
        )
        return sum(objective.losses(found, {}).values())

    gradient = jax.jit(jax.grad(loss))(tree['params'])
    still = [path for path, leaf in trees.flatten(gradient).items() if not np.any(leaf)]
    silent = {
        'recon_two_stream': ('global', '_token', '_pos'),
        'point_m2ae': ('level_0/norm',),
        'pointgpt': ('backbone/norm/', 'unread', 'generator/sos'),
    }.get(name, ())
    # A bias in front of a batch norm, or of keys, may come out as exactly zero.
    assert [p for p in still if not any(s in p for s in silent) and not p.endswith('bias')] == []


def test_no_gradient_flows_from_the_global_stream_into_the_patches() -> None:
    """In ReCon's pre-training; in its fine-tuning it does."""
    built = build(AutoencoderSpec('recon_two_stream', **PLAIN, teachers={'image': 5}))
    tree = built.init(jax.random.key(0))

    def taught(p: trees.Tree) -> jax.Array:
        found = built.module.apply({**tree, 'params': p}, POINTS)
        return jnp.square(found.projections['image']).sum()

    gradient = trees.flatten(jax.jit(jax.grad(taught))(tree['params']))
    assert np.any(gradient['backbone/block_1/attention_global/kv/kernel'])
    for path in (
        'tokenizer/first_0/kernel',
        'positions/out/kernel',
        'block_0/attention/qkv/kernel',
    ):
        assert not np.any(gradient[f'backbone/{path}'])


def test_pcp_mae_shows_hidden_patches_to_themselves_and_where_they_are_to_nobody() -> None:
    """Other hidden points change nothing visible, other hidden centres nothing at all."""
    built, tree = small('pcp_mae'), variables('pcp_mae')
    tree['params']['centers']['mask_pos'] = jnp.full((1, 1, 24), 0.5)
    mask = np.tile(np.arange(10) < 6, (3, 1))
    grouped = built.module.backbone.group(POINTS)

    def encode(
        module: CenterPredictingAutoencoder, groups: jax.Array, centers: jax.Array
    ) -> Tokens:
        moved = grouped._replace(groups=groups, centers=centers)
        unknown = module.centers.position()
        return module.backbone.encode(
            moved, module.tuner, admit=lambda tokens: conceal(tokens, mask, unknown)
        ).patches

    run = jax.jit(lambda g, c: built.module.apply(tree, g, c, method=encode))
    before = run(grouped.groups, grouped.centers)
    moved = jnp.where(mask[..., None], grouped.centers + 1, grouped.centers)
    np.testing.assert_array_equal(before, run(grouped.groups, moved))
    larger = jnp.where(mask[..., None, None], 2 * grouped.groups, grouped.groups)
    after = run(larger, grouped.centers)
    np.testing.assert_array_equal(before[:, 6:], after[:, 6:])
    assert np.abs(before - after)[:, :6].min(axis=(1, 2)).max() > 0


def test_hidden_patches_give_the_tokenizer_nothing_but_statistics() -> None:
    """With running statistics it is the same whether it sees them."""
    options = {**PLAIN['options'], 'embed_hidden': False}
    other = build(AutoencoderSpec('point_mae', geometry=PLAIN['geometry'], options=options))
    tree = variables('point_mae')
    whole, some = (jax.jit(b.module.apply)(tree, POINTS) for b in (small('point_mae'), other))
    np.testing.assert_allclose(whole.predicted, some.predicted, atol=1e-5)


def test_a_finer_token_is_visible_if_a_visible_one_is_made_of_it() -> None:
    module: HierarchicalAutoencoder = small('point_m2ae').module
    grouped = module.backbone.group(POINTS)
    visible = jnp.asarray(np.random.default_rng(3).random((3, 10)) < 0.4)
    finest, middle, coarsest = (np.asarray(v) for v in carry_down(visible, grouped))
    np.testing.assert_array_equal(coarsest, visible)
    for finer, above, level in ((middle, coarsest, 2), (finest, middle, 1)):
        expected = np.zeros_like(finer)
        for cloud, indices in enumerate(np.asarray(grouped[level].indices)):
            expected[cloud, indices[above[cloud]].ravel()] = True
        expected[0, 0] = True
        np.testing.assert_array_equal(finer, expected)


@pytest.mark.parametrize(
    ('file', 'name', 'options'),
    [
        ('pmae_pre', 'point_mae', {}),
        ('pcp_pre', 'pcp_mae', {}),
        ('pointgpt_s_pre', 'pointgpt', {'variant': 'small'}),
        ('recon_pre', 'recon_two_stream', {'teachers': {'image': 768, 'text': 512}}),
        ('m2ae_pre', 'point_m2ae', {}),
    ],
)
@pytest.mark.parametrize('wrapper', ['', 'module.'])
def test_a_published_file_loads_whole_and_is_exported_under_its_keys(
    file: str, name: str, options: dict, wrapper: str
) -> None:
    built = build(AutoencoderSpec(name, **options))
    state = state_dict(file, wrapper)
    loaded, report = built.load_all(built.shapes(), state, file)
    assert report.parameters == trees.count(loaded['params'])
    if not wrapper:
        exported = {key: list(value.shape) for key, value in built.export(loaded).items()}
        assert exported == dict(key_list(file))


@pytest.mark.parametrize('name', BACKBONES)
def test_export_and_back_is_exact_and_a_classifier_takes_the_backbone(name: str) -> None:
    state = small(name).export(variables(name))
    again, report = small(name).load_all(small(name).shapes(), state, 'an export')
    jax.tree.map(np.testing.assert_array_equal, variables(name), again)
    assert report.new == report.left == ()
    geometry = KINDS.get(name, PLAIN)['geometry']
    classifier = create_model(name, 4, geometry=geometry)
    _, report = classifier.load_backbone(classifier.shapes(), state, 'an export')
    leaves = trees.flatten(variables(name)['params']['backbone'])
    unread = ('level_0/norm', 'level_1/norm', 'level_2/norm')  # only segmentation takes these
    assert report.parameters >= trees.count([v for k, v in leaves.items() if k[:12] not in unread])
    assert all(key.startswith(('cls', 'norm', 'blocks.cls_norm')) for key in report.new)


def test_smooth_l1_is_half_a_square_near_zero_and_a_line_beyond() -> None:
    found = objective.smooth_l1(jnp.array([0.0, 0.5, 1.0, -3.0]), jnp.zeros(4))
    np.testing.assert_allclose(found, [0, 0.125, 0.5, 2.5])


def test_the_contrastive_loss_is_the_references_loop() -> None:
    r = np.random.default_rng(0)
    projections, labels = r.normal(size=(9, 5)), np.array([0, 1, 2, 0, 1, 1, 3, 0, 2])
    unit = projections / np.linalg.norm(projections, axis=1, keepdims=True)
    cosines = unit @ unit.T
    expected = []
    for i in range(9):
        same = labels == labels[i]
        logits = np.r_[cosines[i, same].mean(), cosines[i, ~same]] / 0.1
        expected.append(np.log(np.exp(logits).sum()) - logits[0])
    found = objective.contrast(jnp.asarray(projections), jnp.asarray(labels))
    np.testing.assert_allclose(found, expected, rtol=1e-4)
    gradient = jax.grad(lambda p: objective.contrast(p, jnp.zeros(9)).sum())(projections)
    assert np.isfinite(gradient).all()  # one class alone


def test_contrast_by_cloud_holds_two_views_of_a_cloud_together_and_sees_no_label() -> None:
    task = objective.reconstruction((CONTRAST,), sample='random', contrast_by='cloud')
    clouds = jax.random.normal(jax.random.key(0), (3, 16, 3))
    points, targets = task.sample(jax.random.key(1), clouds, {'labels': jnp.array([7, 7, 7])}, 8)
    assert points.shape == (6, 8, 3)
    assert targets['labels'].tolist() == [0, 1, 2, 0, 1, 2]
    assert np.abs(points[:3] - points[3:]).max() > 0.1  # each has points of its own
    with pytest.raises(UserError, match="contrast_by is 'kind'; expected class or cloud"):
        objective.reconstruction(contrast_by='kind')


def test_contrast_without_a_class_token_is_of_the_mean_of_what_is_visible() -> None:
    tokens = jnp.arange(12.0).reshape(1, 3, 4)
    found = hierarchical._mean_of(tokens, jnp.array([[True, False, True]]))
    assert found.tolist() == [[4.0, 5.0, 6.0, 7.0]]


def test_chamfer_l1_and_l2_of_a_patch_by_hand() -> None:
    predicted = jnp.array([[[[0.0, 0, 0], [2.0, 0, 0]]]])
    target = jnp.array([[[[1.0, 0, 0]]]])
    assert reconstruction.chamfer_l2(predicted, target).tolist() == [[2.0]]
    assert reconstruction.chamfer_l1(predicted, target).tolist() == [[1.0]]
    at_rest = jax.grad(lambda p: reconstruction.chamfer_l1(p, p).sum())(predicted)
    assert np.isfinite(at_rest).all()


@pytest.mark.parametrize(
    ('name', 'options', 'message'),
    [
        ('act', {}, 'act has no masked autoencoder.*point_mae'),
        ('point_mae', {'contrast': True}, "contrast loss needs the token 'cls', and point_mae"),
        ('recon', {'teachers': {'image': 8}}, "image loss needs the token 'img', and recon"),
        ('point_m2ae', {'teachers': {'text': 8}}, "text loss needs the token 'text'"),
        ('recon', {'options': {'mask_ratio': 1.5}}, r'mask_ratio is 1\.5; expected a number'),
        ('point_m2ae', {'options': {'mask_ratio': 0.0}}, r'mask_ratio is 0\.0'),
        ('recon', {'options': {'mask': 'half'}}, "mask is 'half'; expected one of random, block"),
        ('recon', {'options': {'decoder': 1}}, 'the autoencoder has no option decoder; it has'),
        ('recon', {'variant': 'huge'}, "no variant 'huge' of recon"),
    ],
)
def test_mistakes_are_said(name: str, options: dict, message: str) -> None:
    with pytest.raises(UserError, match=f'(?s){message}'):
        build(AutoencoderSpec(name, **options))
