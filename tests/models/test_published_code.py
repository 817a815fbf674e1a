"""What published code has that its model does not use, where no other test shows it.

Structure only: forward passes are traced, not run.
"""

import functools

import golden_models as g
import jax
import numpy as np
import pytest
from jax.extend.core import Literal
from small_methods import FAST, POINTS, geometry

from point_ft_jax.core import trees
from point_ft_jax.core.errors import UserError
from point_ft_jax.models import create_model, torch_names
from point_ft_jax.models.backbones.point_femae import SUBSTRING_CLS
from point_ft_jax.models.model import Model
from point_ft_jax.models.tuner import Tuner

UNI3D = {'variant': 'tiny', 'geometry': {'num_groups': 64, 'group_size': 32}}


def never_read(model: Model, *arrays: np.ndarray) -> set[str]:
    """The paths of the parameters that no output of a forward pass depends on."""
    shapes = model.shapes()
    others = {name: shapes[name] for name in shapes if name != 'params'}

    def forward(params: trees.Tree, others: trees.Tree, *arrays: jax.Array) -> jax.Array:
        return model.module.apply({**others, 'params': params}, *arrays)

    traced = jax.make_jaxpr(forward)(shapes['params'], others, *arrays).jaxpr
    read = set(traced.outvars)
    for equation in reversed(traced.eqns):
        if read.intersection(equation.outvars):
            read.update(v for v in equation.invars if not isinstance(v, Literal))
    leaves, form = jax.tree.flatten(shapes['params'])
    paths = trees.flatten(jax.tree.unflatten(form, traced.invars[: len(leaves)]))
    return {path for path, variable in paths.items() if variable not in read}


@functools.cache
def of_fixture(name: str) -> tuple[Model, set[str]]:
    """A fixture's model, and what it never reads."""
    arrays = g.read(f'{name}_s1')[1]
    if name == 'uni3d':
        clouds = np.concatenate([arrays['points'], arrays['colors']], axis=-1)
        model = create_model('uni3d', 2, readout=('aligned',), **UNI3D)
        found = {path for path in never_read(model, clouds) if path.startswith('backbone/')}
        return model, found
    model = g.model(name)
    inputs = [arrays[key] for key in ('points', 'category') if key in arrays]
    return model, never_read(model, *inputs)


@pytest.mark.parametrize('name', ['gaprompt', 'seg_idpt', 'stag_sl', 'stag_std', 'uni3d'])
def test_what_had_no_gradient_in_the_reference_is_never_read(name: str) -> None:
    """And the other way round; the fixture lists what the reference's backward pass left out."""
    model, unread = of_fixture(name)
    keys = {torch_names.torch_key(path, model.torch_names) for path in unread}
    assert keys == set(g.read(f'{name}_s1')[0]['no_gradient'])


def test_27_660_of_gaprompts_trainable_parameters_are_never_read() -> None:
    model, unread = of_fixture('gaprompt')
    leaves = trees.flatten(model.shapes()['params'])
    trainable = {p: leaf for p, leaf in leaves.items() if trees.matches(p, model.method.trainable)}
    assert trees.count(trainable) == 628_147
    assert trees.count({p: leaf for p, leaf in trainable.items() if p in unread}) == 27_660


def test_the_substring_cls_takes_the_enhancements_of_point_femae_along() -> None:
    model = create_model('point_femae', 15, method='linear_probe')
    backbone = {
        f'backbone/{p}': v for p, v in trees.flatten(model.shapes()['params']['backbone']).items()
    }
    named = {
        p: v for p, v in backbone.items() if 'cls' in torch_names.torch_key(p, model.torch_names)
    }
    assert trees.count(named) == 5_336_064
    assert set(named) == {path for path in backbone if trees.matches(path, SUBSTRING_CLS)}
    assert not any(trees.matches(path, model.method.trainable) for path in named)


def test_the_published_files_of_recon_pp_are_not_of_the_form_that_its_tables_fine_tune() -> None:
    published, tuned = (
        create_model(name, 15, variant='tiny') for name in ('recon_pp', 'recon_pp_causal')
    )
    zeros = jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), published.shapes())
    with pytest.raises(UserError, match=r'missing: .*sos'):
        tuned.load_backbone(tuned.shapes(), published.export(zeros), 'a zero-shot file')


def test_recon_pp_never_encodes_the_last_patch() -> None:
    narrow = {**geometry('recon_pp_causal'), 'depth': 1, 'decoder_depth': 1}
    model = create_model('recon_pp_causal', 3, geometry=narrow)
    r = np.random.default_rng(0)
    variables = jax.tree.map(lambda leaf: r.uniform(0.1, 1, leaf.shape), model.shapes())
    variables = jax.tree.map(np.float32, variables)
    backbone = model.module.backbone
    own = {name: tree['backbone'] for name, tree in variables.items()}
    grouped = backbone.group(POINTS)

    @functools.partial(jax.jit, compiler_options=FAST)
    def encode(groups: jax.Array) -> jax.Array:
        moved = grouped._replace(groups=groups)
        return backbone.apply(own, moved, Tuner(), method='encode').sequence()

    before = encode(grouped.groups)
    np.testing.assert_array_equal(before, encode(grouped.groups.at[:, -1].multiply(2.0)))
    assert not np.array_equal(before, encode(grouped.groups.at[:, -2].multiply(2.0)))
