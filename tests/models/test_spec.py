"""A spec says what a model is: in JSON and back, and what is no spec is refused in one message."""

import dataclasses
import json
import subprocess
import sys

import jax
import numpy as np
import pytest
from small import GEOMETRY

from point_ft_jax.core.errors import UserError
from point_ft_jax.methods import merge
from point_ft_jax.models import AutoencoderSpec, Model, ModelSpec, build, create_model
from point_ft_jax.models.spec import VERSION, Spec, from_json
from point_ft_jax.models.tuned import TunedModel

SPECS = [
    ModelSpec('recon', 3),
    ModelSpec(
        'point_mae',
        16,
        variant='tiny',
        method='ssf+lora',
        method_options={'lora': {'rank': 2}},
        trainable=('head/*', 'tuner/*'),
        num_parts=50,
        geometry={'num_groups': 8, 'drop_path': 0.1, 'memory': 'least'},
        readout=('patches_max',),
        head={'propagation': (16, 8), 'widths': (8, 4)},
        dtype='bfloat16',
        batch_norm='update',
    ),
    AutoencoderSpec('recon', options={'mask_ratio': 0.6}, teachers={'image': 5}, contrast=True),
]


@pytest.mark.parametrize('spec', SPECS, ids=lambda spec: spec.KIND)
def test_a_spec_goes_through_json_unchanged(spec: Spec) -> None:
    assert from_json(json.loads(json.dumps(spec.to_json())), 'spec.json') == spec


def test_lists_and_numpy_scalars_are_as_json_gives_them_back() -> None:
    spec = ModelSpec('point_m2ae', 3, geometry={'depths': [1, np.int64(2), 1]})
    assert spec.geometry == {'depths': (1, 2, 1)}
    assert from_json(spec.to_json(), 'spec.json') == spec


def test_a_model_keeps_the_spec_that_it_was_built_from() -> None:
    model = create_model('recon', 3, method='dapt', method_options={'rank': 4}, geometry=GEOMETRY)
    expected = ModelSpec('recon', 3, method='dapt', method_options={'rank': 4}, geometry=GEOMETRY)
    assert model.spec == expected
    assert build(model.spec).module == model.module


def test_frozen_norms_hold_their_statistics_unless_the_spec_says_update() -> None:
    def holds(method: str, **options: str) -> bool:
        return create_model('recon', 3, method=method, **options).module.backbone.hold_statistics

    assert holds('dapt')
    assert not holds('full')
    assert not holds('dapt', batch_norm='update')


def merged(method: str, **options: object) -> tuple[Model, dict]:
    """A merged model that was never trained."""
    model = create_model('recon', 3, method=method, geometry=GEOMETRY, **options)
    variables = jax.tree.map(lambda leaf: np.zeros(leaf.shape), model.shapes())
    tuned = merge(TunedModel(model, variables, {}))
    return tuned.model, tuned.variables


@pytest.mark.parametrize(
    ('method', 'options'),
    [
        ('linear_probe', {'readout': ('patches_mean',)}),
        ('lora', {'method_options': {'rank': 2}, 'head': {'dropout': 0.1}}),
        ('ssf', {}),
        ('ssf', {'num_parts': 5}),
        ('ssf+lora', {'method_options': {'lora': {'rank': 2}}, 'trainable': ('tuner/*',)}),
    ],
)
def test_the_spec_of_a_merged_model_builds_a_model_of_its_variables(
    method: str, options: dict
) -> None:
    model, variables = merged(method, **options)
    again = build(from_json(model.spec.to_json(), 'spec.json'))
    assert (model.spec.method, model.spec.method_options) == ('full', {})
    assert again.module == model.module
    shapes = jax.tree.map(lambda leaf: leaf.shape, variables)
    assert shapes == jax.tree.map(lambda leaf: leaf.shape, again.shapes())


GOOD = ModelSpec('recon', 3).to_json()


@pytest.mark.parametrize(
    ('value', 'message'),
    [
        ([], r'spec\.json holds \[\]; expected the fields of a spec by name'),
        ({}, 'has the version None; expected a number from 1 on'),
        ({**GOOD, 'version': '1'}, "has the version '1'; expected a number"),
        ({**GOOD, 'version': VERSION + 1}, 'of a newer point_ft_jax; this one reads up to 1'),
        ({**GOOD, 'kind': ['model']}, r"the kind \['model'\]; expected model or autoencoder"),
        ({**GOOD, 'colour': 1}, "no field 'colour'; there are backbone, num_classes, variant"),
        ({'kind': 'model', 'version': 1}, '(?s)backbone is missing.*num_classes is missing'),
        (
            {**GOOD, 'num_classes': 2.5, 'readout': 'cls', 'geometry': [1], 'head': {'a': {1: 2}}},
            r'(?s)num_classes is 2\.5; expected a whole number from 1 to 1,000,000.*geometry is'
            '.*readout is .cls.; expected a list of texts.*head is',
        ),
        ({**GOOD, 'num_classes': True}, 'num_classes is True; expected a whole number'),
        ({**GOOD, 'num_parts': 10**12}, r'num_parts is 1000000000000; expected .*, or nothing'),
        ({**GOOD, 'kind': 'autoencoder'}, "(?s)no field 'num_classes'.*no field 'method'"),
    ],
)
def test_what_is_no_spec_is_refused_in_one_message(value: object, message: str) -> None:
    with pytest.raises(UserError, match=message):
        from_json(value, 'spec.json')


def test_a_value_that_json_cannot_keep_is_no_option() -> None:
    with pytest.raises(UserError, match=r'geometry is .*; expected options by name'):
        ModelSpec('recon', 3, geometry={'width': jax.numpy.ones(3)})


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        ({'backbone': 'os'}, "no 'os' among the backbones"),
        ({'backbone': '../recon'}, 'among the backbones'),
        ({'method': 'full+sys'}, "no 'sys' among the methods"),
        ({'variant': 'huge'}, "no variant 'huge' of recon; there are base"),
        ({'geometry': {'depth': 10**6}}, 'depth is 1000000; expected 1000 blocks at most'),
        ({'dtype': 'int8'}, "the compute type is 'int8'; expected float32 or bfloat16"),
        ({'batch_norm': 'drop'}, "batch_norm is 'drop'; expected 'hold' or 'update'"),
    ],
)
def test_names_that_there_are_not_are_refused(changes: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        build(dataclasses.replace(ModelSpec('recon', 3), **changes))


def test_a_model_is_built_without_the_pre_training_package() -> None:
    code = """
import sys
from point_ft_jax import models
from point_ft_jax.checkpoints import run, pretrained
models.build(models.ModelSpec('recon', 3, method='dapt')).shapes()
print([name for name in sys.modules if 'autoencoders' in name or 'ml_collections' in name])
"""
    found = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == '[]'
