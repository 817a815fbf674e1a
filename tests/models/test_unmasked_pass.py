"""Point-M2AE's features for the linear SVM: the autoencoder's encoder with nothing hidden.

The reference here is in numpy and float64, by the released rule: visible tokens are scattered down
the levels, those of a cloud are moved together and filled up with zeros to the most of a batch.
"""

import golden_models as g
import jax
import numpy as np
import pytest
from scipy.special import erf

from point_ft_jax.evaluation import features
from point_ft_jax.models import create_model
from point_ft_jax.models.hierarchical import carry_down, group_levels
from point_ft_jax.models.readout import read_out

WIDTHS, HEADS, RADII = (96, 192, 384), 6, (0.32, 0.64, 1.28)
COUNTS = [[509, 510], [249, 247], [64, 64]]  # visible, of 512, 256 and 64
READOUT = ('patches_mean_plus_max',)


@pytest.fixture(scope='module')
def published() -> tuple[dict, np.ndarray, list]:
    """The pre-training fixture's weights, two clouds of uneven density, and their neighbourhoods.

    The first cloud has a visible token less on the finest level than the second, and so a zero.
    """
    facts, _ = g.read('pre_m2ae_s1')
    state = {key: g.weight(key, shape, facts['seed']) for key, shape in facts['state_dict']}
    points = np.random.default_rng(0).standard_normal((2, 1024, 3))
    points = points / np.linalg.norm(points, axis=-1).max(axis=1)[:, None, None]
    points = points.astype(np.float32)
    grouped = group_levels(points, (512, 256, 64), (16, 8, 8))
    return state, points, [jax.tree.map(np.asarray, level) for level in grouped]


def test_some_finer_tokens_are_in_no_neighbourhood_and_so_hidden(published: tuple) -> None:
    _, _, grouped = published
    expected = visible_by_scattering(grouped)
    found = carry_down(np.ones((2, 64), bool), grouped)
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert [v.sum(axis=1).tolist() for v in expected] == COUNTS


@pytest.mark.slow
def test_the_features_are_the_references_and_need_no_renaming(published: tuple) -> None:
    state, points, grouped = published
    built = create_model('point_m2ae', 40, geometry={'level_norm': True})
    tree, report = built.load_backbone(built.shapes(), state, 'the pre-training file')
    assert report.new == ()
    assert {f'h_encoder.encoder_norms.{i}.weight' for i in range(3)} <= set(report.loaded)
    assert not any('encoder_norms' in key for key in report.left)
    module = features.reshaped(built.module, {'unmasked': True})

    def read(module, points):
        return read_out(module.backbone(points, module.tuner), READOUT)

    backbone = {name: {'backbone': part['backbone']} for name, part in tree.items()}
    found = jax.jit(lambda v, p: module.apply(v, p, method=read))(backbone, points)
    expected = features_by_packing(state, grouped, visible_by_scattering(grouped))
    g.assert_near(found, expected, 1e-5, 'features')


def visible_by_scattering(grouped: list) -> list[np.ndarray]:
    """The reference's: hidden tokens scatter to index 0 of the whole batch, visible to theirs."""
    found = [np.ones(grouped[-1].centers.shape[:2], bool)]
    for level in reversed(range(1, len(grouped))):
        batch, count = grouped[level - 1].centers.shape[:2]
        indices = grouped[level].indices + count * np.arange(batch)[:, None, None]
        finer = np.zeros(batch * count, bool)
        finer[(found[0][..., None] * indices).ravel()] = True
        found.insert(0, finer.reshape(batch, count))
    return found


def features_by_packing(state: dict, grouped: list, visible: list[np.ndarray]) -> np.ndarray:
    """[B, 384], mean plus maximum of the last level's tokens after its norm."""
    state = {k.removeprefix('h_encoder.'): v.astype(np.float64) for k, v in state.items()}
    grid = None
    for level, (groups, seen) in enumerate(zip(grouped, visible, strict=True)):
        fine = groups.groups.astype(np.float64)
        if level:
            fine = np.stack([rows[i] for rows, i in zip(grid, groups.indices, strict=True)])
        grid = tokenizer(state, f'token_embed.{level}', fine)
        length = seen.sum(axis=1).max()
        packed = []
        for cloud, mine in enumerate(seen):
            count = mine.sum()
            x, centers = np.zeros((length, grid.shape[-1])), np.zeros((length, 3))
            x[:count], centers[:count] = grid[cloud][mine], groups.centers[cloud][mine]
            apart = np.ones((length, length), bool)
            apart[:count, :count] = False
            far = np.linalg.norm(centers[:, None] - centers, axis=-1) >= RADII[level]
            x = blocks(state, level, x, centers, far & apart)
            grid[cloud][mine] = x[:count]
            packed.append(x)
    x = norm(state, 'encoder_norms.2', np.stack(packed))
    return x.mean(axis=1) + x.max(axis=1)


def blocks(state: dict, level: int, x: np.ndarray, centers: np.ndarray, hidden: np.ndarray):
    """Tokens [N, D] through a level's blocks; `hidden` [N, N], what a token does not see."""
    place = linear(state, f'encoder_pos_embeds.{level}.0', centers)
    place = linear(state, f'encoder_pos_embeds.{level}.2', gelu(place))
    for index in range(5):
        name = f'encoder_blocks.{level}.blocks.{index}'
        x = x + place
        h = norm(state, f'{name}.norm1', x) @ state[f'{name}.attn.qkv.weight'].T
        q, k, v = np.moveaxis(h.reshape(len(x), 3, HEADS, -1), (1, 2), (0, 1))
        logits = q @ np.swapaxes(k, 1, 2) * q.shape[-1] ** -0.5 - 1e5 * hidden
        weights = np.exp(logits - logits.max(axis=-1, keepdims=True))
        h = np.moveaxis(weights / weights.sum(axis=-1, keepdims=True) @ v, 0, 1)
        x = x + linear(state, f'{name}.attn.proj', h.reshape(x.shape))
        h = linear(state, f'{name}.mlp.fc1', norm(state, f'{name}.norm2', x))
        x = x + linear(state, f'{name}.mlp.fc2', gelu(h))
    return x


def tokenizer(state: dict, name: str, x: np.ndarray) -> np.ndarray:
    """Neighbourhoods [B, G, K, C] to tokens [B, G, D]."""
    for part in ('first', 'second'):
        x = linear(state, f'{name}.{part}_conv.0', x)
        x = np.maximum(batch_norm(state, f'{name}.{part}_conv.1', x), 0)
        x = linear(state, f'{name}.{part}_conv.3', x)
        if part == 'first':
            whole = np.broadcast_to(x.max(axis=2, keepdims=True), x.shape)
            x = np.concatenate([whole, x], axis=-1)
    return x.max(axis=2)


def linear(state: dict, name: str, x: np.ndarray) -> np.ndarray:
    weight = state[f'{name}.weight']
    return x @ weight.reshape(weight.shape[:2]).T + state[f'{name}.bias']


def norm(state: dict, name: str, x: np.ndarray) -> np.ndarray:
    x = x - x.mean(axis=-1, keepdims=True)
    x = x / np.sqrt(np.square(x).mean(axis=-1, keepdims=True) + 1e-5)
    return x * state[f'{name}.weight'] + state[f'{name}.bias']


def batch_norm(state: dict, name: str, x: np.ndarray) -> np.ndarray:
    mean, var = state[f'{name}.running_mean'], state[f'{name}.running_var']
    return (x - mean) / np.sqrt(var + 1e-5) * state[f'{name}.weight'] + state[f'{name}.bias']


def gelu(x: np.ndarray) -> np.ndarray:
    return 0.5 * x * (1 + erf(x / np.sqrt(2)))
