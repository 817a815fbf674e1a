"""What decays: whatever decays by the references' rule for their own, PyTorch's, names."""

import pytest

from point_ft_jax.core import plugins, trees
from point_ft_jax.core.errors import UserError
from point_ft_jax.models import AutoencoderSpec, build, create_model, torch_names
from point_ft_jax.models.autoencoders.build import Autoencoder
from point_ft_jax.models.build import known
from point_ft_jax.models.model import Model
from point_ft_jax.training import optimizer

BACKBONES = plugins.available('backbones')
PRETRAINED = [n for n in BACKBONES if plugins.load('backbones', n).BACKBONE.pretraining is not None]
# Fewer blocks, by the name that a backbone has for their number.
SHALLOW = {'depth': 2, 'depths': (1, 1, 1)}
# Methods whose modules belong to certain blocks.
IN_THE_FIRST_BLOCK = {'stag': {'first': 0}, 'idpt': {'prompt_layer': 0}}
IN_THE_TAPPED_BLOCKS = {'stag': {'first': 0}, 'idpt': {'prompt_layers': (0, 1)}}


def spared_by_the_references(key: str, shape: tuple[int, ...]) -> bool:
    return len(shape) == 1 or key.endswith('.bias') or 'token' in key


def leaves_and_spared(built: Model | Autoencoder) -> tuple[dict, set]:
    leaves = trees.flatten(built.shapes()['params'])
    decays = optimizer.decays
    return leaves, {p for p, leaf in leaves.items() if not decays(p, leaf, built.undecayed)}


def assert_the_references_rule(built: Model | Autoencoder) -> None:
    """Every leaf with a PyTorch name decays as that name has it; others only if of the tuner."""
    leaves, spared = leaves_and_spared(built)
    named = set()
    for path, leaf in leaves.items():
        try:
            key = torch_names.torch_key(path, built.torch_names)
        except UserError:
            assert path.startswith('tuner/')
            continue
        named.add(path)
        shape = torch_names.torch_shape(key, path, leaf.shape, built.conv)
        assert (path in spared) == spared_by_the_references(key, shape), (path, key)
    assert {p for p in spared if leaves[p].ndim > 1} <= named


@pytest.mark.parametrize('backbone', BACKBONES)
@pytest.mark.parametrize('parts', [None, 4], ids=['classifier', 'segmenter'])
def test_a_fine_tuned_backbone_decays_by_the_references_rule(
    backbone: str, parts: int | None
) -> None:
    geometry = known(backbone, SHALLOW)
    assert_the_references_rule(create_model(backbone, 3, num_parts=parts, geometry=geometry))


@pytest.mark.parametrize('backbone', PRETRAINED)
def test_pretraining_decays_by_the_references_rule(backbone: str) -> None:
    geometry = known(backbone, SHALLOW)
    assert_the_references_rule(build(AutoencoderSpec(backbone, geometry=geometry)))


@pytest.mark.parametrize('method', plugins.available('methods'))
@pytest.mark.parametrize('parts', [None, 4], ids=['classifier', 'segmenter'])
def test_a_method_decays_by_the_references_rule_where_it_has_names(
    method: str, parts: int | None
) -> None:
    """Point-MAE's backbone, the one that every method was made for."""
    options = IN_THE_TAPPED_BLOCKS if parts else IN_THE_FIRST_BLOCK
    built = create_model(
        'point_mae',
        3,
        method=method,
        num_parts=parts,
        geometry={'depth': 2},
        method_options=options.get(method),
    )
    assert_the_references_rule(built)


def test_the_leaves_that_have_more_axes_and_yet_do_not_decay() -> None:
    """By hand, for the two that differ most: the tokenizer is spared in Point-M2AE only."""

    def matrices(built: Model | Autoencoder) -> set[str]:
        leaves, spared = leaves_and_spared(built)
        return {path for path in spared if leaves[path].ndim > 1}

    plain = build(AutoencoderSpec('recon_two_stream', geometry={'depth': 1}))
    tokens = {f'backbone/{kind}_token' for kind in ('cls', 'img', 'text')}
    assert matrices(plain) == {*tokens, 'decoder/mask_token'}
    hierarchy = build(AutoencoderSpec('point_m2ae', geometry={'depths': (1, 1, 1)}))
    maps = ('first_0', 'first_1', 'second_0', 'second_1')
    assert matrices(hierarchy) == {
        'decoder/mask_token',
        *(f'backbone/level_{i}/tokenizer/{name}/kernel' for i in range(3) for name in maps),
        *(f'decoder/propagation/{name}/kernel' for name in ('fuse', 'unit_0', 'unit_1')),
    }
