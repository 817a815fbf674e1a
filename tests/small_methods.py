"""Small models of every backbone with every method, for the contract tests."""

import functools
import inspect

import jax
import numpy as np

from point_ft_jax.core import plugins
from point_ft_jax.models import Model, create_model
from point_ft_jax.models.causal_transformer import CausalTransformer

POINTS = np.random.default_rng(0).uniform(-0.6, 0.6, (4, 48, 3)).astype(np.float32)
LABELS = np.arange(4) % 3

SMALL = {'width': 24, 'depth': 2, 'heads': 2, 'num_groups': 8, 'group_size': 4}
ONE_ORIGIN = {'skip_near_origin': True}  # where MaskPoint differs from Point-BERT
HIERARCHY = {
    'widths': (8, 16),
    'depths': (1, 1),
    'heads': 2,
    'num_groups': (16, 8),
    'group_sizes': (4, 2),
    'radii': (0.6, 1.2),
}
CHAIN = {'generator_depth': 1, 'tokenizer_widths': (8, 12, 16)}
OPTIONS = {
    'idpt': {'prompt_layer': 0, 'neighbors': 4},
    'pointgst': {'local': 4, 'rank': 4},
    'dapt': {'rank': 4},
    'lora': {'rank': 4},
    'adapter': {'rank': 4},
    'adaptformer': {'rank': 4},
    'stag': {'first': 0, 'width': 6, 'neighbors': 3, 'last_norm': True},
    'ppt': {'num_groups': 6, 'group_size': 4, 'hidden': 4},
    'pointlora': {'rank': 2, 'hidden': 4, 'selections': ((8, 4, 3, 1.0), (4, 6, 1, 0.25))},
    'gaprompt': {'num_points': 2, 'num_prompts': 3, 'prompt_depth': 1, 'rank': 4},
}
FAST = {'xla_backend_optimization_level': 0}  # compiling is nearly all that takes time here
METHODS = plugins.available('methods')
# These start where points become tokens, once for all blocks.
ONE_LEVEL = ('gaprompt', 'pointlora', 'ppt', 'stag')
RARE = ('point_femae', 'recon_pp', 'recon_pp_causal', 'uni3d')  # most of their tests are slow
COLOURED = ('recon_pp', 'uni3d')
WITHOUT_CLS = ('point_m2ae', 'point_femae')
MERGEABLE = ('full', 'linear_probe', 'bitfit', 'lora', 'ssf')


def geometry(backbone: str) -> dict:
    """A few narrow layers, with a map after the tokenizer where the published model has one."""
    published = plugins.load('backbones', backbone).BACKBONE.build()
    if 'widths' in inspect.signature(type(published)).parameters:
        return HIERARCHY
    chain = CHAIN if isinstance(published, CausalTransformer) else {}
    own = {'tokenizer_width': published.tokenizer_width and 16}
    return {**SMALL, **ONE_ORIGIN, **chain, **own}


def small(backbone: str, method: str, **changes: object) -> Model:
    """The method on a small form of the backbone, read without class token where there is none."""
    readout = None
    if backbone in WITHOUT_CLS and method in ('dapt', 'idpt'):
        readout = ('prompts_mean', 'patches_max')
    if backbone in WITHOUT_CLS and method in ('gaprompt', 'pointlora', 'ppt'):
        readout = ('patches_mean', 'patches_max')
    if method == 'stag':  # so that its head is the backbone's
        readout = plugins.load('backbones', backbone).BACKBONE.readout
    options = {
        'method_options': OPTIONS.get(method),
        'readout': readout,
        'geometry': geometry(backbone),
        'head': {'dropout': 0.0},
        'batch_norm': 'update',
    }
    return create_model(backbone, 3, method=method, **{**options, **changes})


def distinct() -> list[str]:
    """One backbone of each architecture: files that differ in names and weights only are one."""
    found = {}
    for name in plugins.available('backbones'):
        module = small(name, 'full').module.backbone
        if module not in found.values():
            found[name] = module
    return list(found)


def fits(backbone: str, method: str) -> bool:
    """Whether the method's form fits the backbone's."""
    if method == 'gaprompt' and backbone in COLOURED:
        return False
    return geometry(backbone) is not HIERARCHY or method not in ONE_LEVEL


BACKBONES = distinct()


@functools.cache
def fresh(backbone: str, method: str) -> tuple[Model, dict]:
    """The model, and variables as `init` draws them; all methods have one backbone."""
    model = small(backbone, method)
    own = model.init(jax.random.key(0))
    if method != 'full':
        _, full = fresh(backbone, 'full')
        own = {name: {**tree, 'backbone': full[name]['backbone']} for name, tree in own.items()}
    return model, own


@functools.cache
def disturbed(backbone: str, method: str) -> dict:
    """Variables that are nowhere what `init` draws, as after training."""
    r = np.random.default_rng(0)

    def move(leaf: jax.Array) -> np.ndarray:
        scale, shift = r.uniform(0.8, 1.2, (2, *leaf.shape))
        return np.asarray(leaf * scale + 0.1 * shift, leaf.dtype)

    return jax.tree.map(move, fresh(backbone, method)[1])


def same(a: jax.Array, b: jax.Array) -> bool:
    return np.array_equal(np.asarray(a), np.asarray(b))
