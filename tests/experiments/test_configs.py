"""Every config and every variant of it loads, and names only what there is."""

import copy
import dataclasses
import functools
import importlib.util
import inspect
import json
import pathlib
from types import ModuleType

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ml_collections import ConfigDict

from point_ft_jax import models
from point_ft_jax.checkpoints import _old_runs
from point_ft_jax.core import plugins, trees
from point_ft_jax.core.devices import make_mesh
from point_ft_jax.core.errors import UserError
from point_ft_jax.data import augment
from point_ft_jax.data.datasets import shapes
from point_ft_jax.experiments import build as builder
from point_ft_jax.experiments import papers
from point_ft_jax.models.autoencoders.build import Autoencoder
from point_ft_jax.models.model import Model
from point_ft_jax.models.spec import from_json

FILES = sorted((pathlib.Path(__file__).parents[2] / 'configs').glob('*.py'))
STEPS = 71  # an epoch's


@functools.cache
def load(name: str) -> ModuleType:
    """The module of a file of configs/, by its name."""
    path = next(path for path in FILES if path.stem == name)
    spec = importlib.util.spec_from_file_location(f'configs_{name}', path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


NAMES = [path.stem for path in FILES]
VARIANTS = [(name, variant) for name in NAMES for variant in load(name).VARIANTS]


def config_of(name: str, variant: str) -> ConfigDict:
    return load(name).get_config(variant)


def classes(config: ConfigDict) -> int:
    return {'modelnet40': 40, 'shapenetpart': 16}.get(config.data.name, 15)


def build(config: ConfigDict) -> Model | Autoencoder:
    if config.job == 'pretrain':
        return models.build(builder.autoencoder_spec(config, {}))
    return builder.build_model(config, classes(config), 50)


@pytest.mark.parametrize('name', NAMES)
def test_a_config_says_how_to_run_it_and_which_variants_it_has(name: str) -> None:
    module = load(name)
    assert f'python run.py --config=configs/{name}.py' in module.__doc__
    for variant in module.VARIANTS:
        for word in papers.TUNED.get(variant, (variant,)):
            assert word in module.__doc__
    with pytest.raises(UserError, match=f"no variant 'nothing' of {name}") as caught:
        module.get_config('nothing')
    assert all(variant in str(caught.value) for variant in module.VARIANTS)


@pytest.mark.parametrize('name', NAMES)
def test_variants_have_folders_of_their_own(name: str) -> None:
    names = [config_of(name, variant).name for variant in load(name).VARIANTS]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize(('name', 'variant'), VARIANTS)
def test_a_variant_names_only_what_there_is(name: str, variant: str) -> None:
    config = config_of(name, variant)
    options = inspect.signature(plugins.load('datasets', config.data.name).load).parameters
    assert {*config.data} - {'name'} <= {*options} - {'split'}
    built = build(config)
    again = from_json(json.loads(json.dumps(built.spec.to_json())), 'spec.json')
    assert again == built.spec
    facts = {'classes': range(classes(config)), 'teachers': {}, 'part_names': range(50)}
    facts['config'] = json.loads(config.to_json_best_effort())
    geometry = {k: v for k, v in built.spec.geometry.items() if k != 'memory'}  # is newer
    before = dataclasses.replace(built.spec, geometry=geometry)
    assert _old_runs.spec(pathlib.Path('before'), facts) == before
    builder.make_recipe(config, built, STEPS, make_mesh())
    augment.named(config.vote.augment)
    assert (config.vote.votes == 0) == (config.job != 'vote')


@pytest.mark.parametrize('name', NAMES)
def test_the_embedded_data_of_a_config_can_be_made(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def blank(recipe: shapes._Recipe, size: int) -> tuple[np.ndarray, np.ndarray]:
        clouds = np.zeros((size, 1, 3), np.float32)
        return clouds, np.zeros(clouds.shape[:2], np.int32)

    monkeypatch.setattr(shapes, '_make', blank)
    monkeypatch.setattr(shapes, '_made', blank)
    for variant in load(name).VARIANTS:
        config = config_of(name, variant)
        transfer = config.robust.transfer if config.job == 'robust' else {}
        for section in (config.data, *transfer.values()):
            if section.name == 'shapes':
                assert {*builder.read(section)} == {*shapes.SPLITS}


@pytest.mark.parametrize('name', NAMES)
def test_the_models_of_a_config_can_be_made(name: str) -> None:
    """One model of each kind, shallow and with few groups."""
    seen = set()
    for variant in load(name).VARIANTS:
        config = shallow(config_of(name, variant))
        kind = str((config.model, config.method))
        if kind not in seen:
            seen.add(kind)
            shapes = build(config).shapes()['params']
            if config.job == 'finetune':
                parts = config.task == 'part_segmentation'
                outputs = 50 if parts else config.model.head.outputs or classes(config)
                assert shapes['head']['logits']['bias'].shape == (outputs,)
            assert 'backbone' in shapes


def shallow(config: ConfigDict) -> ConfigDict:
    """The config of a model with one block, a level."""
    config = copy.deepcopy(config)
    if config.model.backbone == 'point_m2ae':
        config.model.geometry.depths = (1, 1, 1)
    else:
        config.model.geometry.depth = 1
        config.model.geometry.num_groups = 32
    if config.task == 'part_segmentation' and config.method.name == 'idpt':
        config.method.options = ConfigDict({'prompt_layers': (0,)})
    if 'prompt_layer' in config.method.options:
        config.method.options.prompt_layer = 0
    if 'first' in config.method.options:
        config.method.options.first = 0
    return config


@pytest.mark.parametrize(
    ('name', 'variant', 'trains'),
    [
        ('recon_dapt', 'obj_bg', 1_087_771),
        ('recon_dapt', 'pb_t50_rs', 1_087_771),
        ('recon_dapt', 'obj_only', 989_467),
        ('recon_dapt', 'modelnet40', 1_069_716),
        ('idpt', 'point_mae_obj_bg', 1_500_175),
        ('idpt', 'act_obj_only', 1_696_783),
        ('idpt', 'recon_modelnet40', 1_703_208),
        ('vpt', 'point_mae_modelnet40', 366_888),
        ('pointgst', 'point_mae_modelnet40', 629_256),
        ('stag', 'point_mae_pb_t50_rs', 428_431),
        ('ppt', 'point_mae_modelnet40', 1_048_616),
        ('pointlora', 'point_mae_pb_t50_rs', 772_752),
        ('gaprompt', 'point_mae_obj_bg', 628_162),
        ('gaprompt', 'point_mae_modelnet40', 630_476),
        ('part_seg', 'point_mae', 27_063_730),
        ('part_seg', 'point_mae_idpt', 5_686_066),
        ('part_seg', 'point_mae_dapt', 5_646_118),
    ],
)
def test_as_many_parameters_train_as_the_paper_counts(name: str, variant: str, trains: int) -> None:
    config = config_of(name, variant)
    built = build(config)
    shapes = built.shapes()['params']
    moving, _ = trees.partition(shapes, trees.select(shapes, built.method.trainable))
    assert trees.count(moving) == trains


@pytest.mark.parametrize(
    ('name', 'variant', 'rates'),
    [
        ('recon_dapt', 'pb_t50_rs', {0: 1e-6, 1: 1e-6, 2: 5.09e-5, 100: 3.775058e-4}),
        ('full_point_mae', 'modelnet40', {10: 4.501e-4, 11: 4.98633e-4, 300: 1.01368e-6}),
        ('full_act', 'pb_t50_rs', {1: 1e-6, 300: 1.13706e-7}),
        ('full_recon', 'pb_t50_rs', {0: 1e-6, 2: 2.9e-6}),
        ('full_recon', 'modelnet40', {0: 1e-6, 2: 1.9e-6}),
        ('full_pcp_mae', 'modelnet40', {0: 1e-6, 2: 1.9e-6}),
        ('part_seg', 'point_mae', {0: 1e-6, 2: 2.09e-5, 11: 1.994546e-4}),
    ],
)
def test_the_rate_of_a_paper_by_epoch(name: str, variant: str, rates: dict[int, float]) -> None:
    config = config_of(name, variant)
    recipe = builder.make_recipe(config, build(config), STEPS, make_mesh())
    for epoch, rate in rates.items():
        np.testing.assert_allclose(recipe.schedule(jnp.int32(epoch * STEPS)), rate, rtol=2e-5)


def test_the_warm_up_of_a_smoke_run_is_cut_to_its_epochs() -> None:
    config = config_of('recon_dapt', 'pb_t50_rs')
    config.train.epochs = config.optim.epochs = 1
    with pytest.warns(UserWarning, match=r'optim.warmup is 10 and the schedule has 1 epochs: .* 0'):
        recipe = builder.make_recipe(config, build(config), STEPS, make_mesh())
    assert float(recipe.schedule(jnp.int32(0))) > 0


@pytest.mark.parametrize(('schedule', 'ratio'), [('constant', 10), ('cosine_by_epoch', 1)])
def test_recons_head_and_cls_token_peak_at_ten_times_the_rate_but_start_alike(
    schedule: str, ratio: float
) -> None:
    config = config_of('full_recon', 'pb_t50_rs')
    config.optim.schedule = schedule
    config.optim.weight_decay = 0.0
    tx = builder.make_recipe(config, builder.build_model(config, 15), STEPS, make_mesh()).tx
    leaves = {'head': {'x': jnp.ones(1)}, 'backbone': {'cls_token': jnp.ones(1), 'x': jnp.ones(1)}}
    updates, _ = tx.update(leaves, tx.init(leaves), leaves)
    expected = ratio * updates['backbone']['x']
    np.testing.assert_allclose(updates['head']['x'], expected, rtol=1e-5)
    np.testing.assert_allclose(updates['backbone']['cls_token'], expected, rtol=1e-5)


@pytest.mark.parametrize(('name', 'variant'), VARIANTS)
def test_each_paper_has_the_augmentation_of_its_own(name: str, variant: str) -> None:
    backbone, dataset = papers.TUNED.get(variant, ('', variant))
    scan = dataset in papers.SCANS
    rotates = {
        'full_act': True,
        'full_recon': scan,
        'full_pcp_mae': scan,
        'full_point_femae': scan,
        'full_recon_pp': scan,
        'idpt': scan,
        'vpt': scan,
        'ppt': scan,
        'pointgst': scan and backbone in ('recon', 'act'),
        'pretrain': variant == 'recon',
        'few_shot': variant.startswith('recon'),
        'wise_ft_lp': variant == 'recon_scanobjectnn',
        'robust': variant == 'scanobjectnn',
    }.get(name, False)
    if name == 'pretrain' and variant not in load(name).PUBLISHED:
        return  # no paper's
    expected = 'rotate_y' if rotates else 'scale_translate'
    if (name, variant) == ('pretrain', 'pcp_mae'):
        expected = 'scale_translate+rotate_y'
    if name == 'part_seg':
        own = 'batch_scale_translate' if variant == 'point_mae_idpt' else 'scale_isotropic'
        expected = f'{own}+shift'
    assert config_of(name, variant).train.augment == expected


def test_outputs_beyond_the_classes_are_trained_and_never_predicted() -> None:
    config = shallow(config_of('full_point_bert', 'obj_bg'))
    module = builder.build_model(config, 15).module.head
    features = jnp.ones((2, 8))
    variables = module.init({'params': jax.random.key(0)}, features)
    evaluated = module.apply(variables, features)
    trained = module.apply(variables, features, train=True, rngs={'dropout': jax.random.key(1)})
    assert (evaluated.shape, trained.shape) == ((2, 15), (2, 40))


def test_a_paper_without_its_checkpoint_is_not_run_from_random_weights() -> None:
    config = shallow(config_of('recon_dapt', 'obj_bg'))
    built = builder.build_model(config, 15)
    with pytest.raises(UserError, match=r'give --config\.init\.checkpoint=FILE'):
        builder.load_start(config, built, seed=0)


@pytest.mark.parametrize('job', plugins.available('jobs'))
def test_every_job_is_a_function(job: str) -> None:
    assert list(inspect.signature(plugins.load('jobs', job).run).parameters) == [
        'config',
        'command',
    ]
