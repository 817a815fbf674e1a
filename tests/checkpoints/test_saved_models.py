"""A folder of weights says what model it is; one from before does by its config, or is refused."""

import json
import pathlib
import shutil

import jax
import numpy as np
import pytest
import small

from point_ft_jax.checkpoints import checksums, delta, store, torch_file
from point_ft_jax.checkpoints import run as saved
from point_ft_jax.checkpoints.pretrained import load_pretrained
from point_ft_jax.core import trees
from point_ft_jax.core.errors import UserError
from point_ft_jax.models import AutoencoderSpec, Model, build, create_model
from point_ft_jax.models.autoencoders.build import Autoencoder

METADATA = {'classes': list(small.CLASSES), 'part_names': [], 'points': 32, 'checkpoint': 'a.pth'}
# What facts.json had of the config before there was a spec.json, of the model that `folder` saves.
OLD_CONFIG = {
    'batch_norm': 'hold',
    'init': {'checkpoint': 'a.pth'},
    'job': 'finetune',
    'method': {'name': 'lora', 'options': {'rank': 2}, 'trainable': []},
    'model': {
        'backbone': 'recon',
        'compute': 'float32',
        'geometry': {**small.GEOMETRY, 'drop_path': None},
        'head': {'dropout': 0.5, 'outputs': 0},
        'readout': [],
        'variant': 'base',
    },
    'task': 'classification',
    'train': {'remat': False},
}
OLD = {'classes': METADATA['classes'], 'part_names': [], 'points': 32, 'config': OLD_CONFIG}
OLD_PRETRAIN = {
    'mask': 'random',
    'mask_ratio': 0.6,
    'decoder': {'decoder_depth': 1, 'decoder_heads': 2},
    'contrast': False,
}


@pytest.fixture(scope='module')
def model() -> Model:
    return create_model(
        'recon',
        3,
        method='lora',
        method_options={'rank': 2},
        geometry=small.GEOMETRY,
        head={'dropout': 0.5, 'outputs': 0},
    )


@pytest.fixture(scope='module')
def variables(model: Model) -> trees.Variables:
    return drawn(model)


def drawn(model: Model | Autoencoder) -> trees.Variables:
    """Positive random numbers in every leaf: variances are no others."""
    r = np.random.default_rng(0)
    return jax.tree.map(lambda leaf: r.random(leaf.shape, leaf.dtype) + 0.1, model.shapes())


@pytest.fixture(scope='module')
def written(
    model: Model, variables: trees.Variables, tmp_path_factory: pytest.TempPathFactory
) -> pathlib.Path:
    """A finished run."""
    return write(tmp_path_factory.mktemp('run') / 'seed_0', model, variables)


def write(folder: pathlib.Path, model: Model, variables: trees.Variables) -> pathlib.Path:
    """Writes a run as a job leaves it when it has ended."""
    trainable = trees.select(variables['params'], model.trainable)
    frozen = trees.partition(variables['params'], trainable)[1]
    saved.save_start(folder, model.spec, METADATA, frozen)
    delta.save(folder / saved.DELTA, model.spec, variables, trainable, METADATA)
    return folder


@pytest.fixture
def folder(written: pathlib.Path, tmp_path: pathlib.Path) -> pathlib.Path:
    """A copy of it to change."""
    return shutil.copytree(written, tmp_path / 'run')


def make_old(folder: pathlib.Path, facts: dict) -> None:
    """The folder as the version before spec.json left it."""
    for spec in folder.rglob('spec.json'):
        spec.unlink()
    (folder / saved.FACTS).write_text(json.dumps(facts))
    for written in folder.rglob(checksums.NAME):
        written.unlink()
    for meta in folder.rglob('meta/metadata'):
        kept = {k: v for k, v in json.loads(meta.read_text()).items() if k != store.MARK}
        meta.write_text(json.dumps(kept))
    for meta in folder.glob('delta/*/meta/metadata'):
        kept = json.loads(meta.read_text())[delta.FINGERPRINT]
        meta.write_text(json.dumps({**facts, delta.FINGERPRINT: kept}))


def assert_same(found: trees.Variables, expected: trees.Variables) -> None:
    assert jax.tree.structure(found) == jax.tree.structure(expected)
    jax.tree.map(np.testing.assert_array_equal, found, expected)


def test_a_run_is_read_back_from_its_spec_without_a_config(
    model: Model, variables: trees.Variables, folder: pathlib.Path
) -> None:
    found = saved.load_run(folder)
    assert found.model.spec == model.spec
    assert found.metadata == METADATA
    assert_same(found.variables, variables)
    shutil.move(folder / saved.DELTA, folder.parent / 'carried')
    carried = saved.read_delta(folder.parent / 'carried')
    assert carried.model.spec == model.spec
    assert carried.metadata['checkpoint'] == 'a.pth'


def test_a_folder_from_before_is_converted(
    model: Model, variables: trees.Variables, folder: pathlib.Path
) -> None:
    make_old(folder, OLD)
    found = saved.load_run(folder)
    assert found.model.spec == model.spec
    assert found.metadata['checkpoint'] == 'a.pth'
    assert_same(found.variables, variables)
    assert saved.read_delta(folder).metadata['checkpoint'] == 'a.pth'


def test_a_pre_training_run_from_before_is_converted(tmp_path: pathlib.Path) -> None:
    spec = AutoencoderSpec(
        'recon',
        geometry=small.GEOMETRY,
        options={'mask': 'random', 'mask_ratio': 0.6, 'decoder_depth': 1, 'decoder_heads': 2},
    )
    autoencoder = build(spec)
    variables = drawn(autoencoder)
    saved.save_metadata(tmp_path, spec, {'classes': [], 'points': 32, 'checkpoint': ''})
    with saved.CheckpointStore(tmp_path / 'best') as best:
        best.save(1, (variables['params'], variables['batch_stats']), {})
    make_old(
        tmp_path,
        {'config': {**OLD_CONFIG, 'pretrain': OLD_PRETRAIN}, 'teachers': {}, 'points': 32},
    )
    found = saved.load_run(tmp_path, pretrained=True)
    assert found.model.spec == spec
    assert_same(found.variables, variables)
    with pytest.raises(UserError, match="of the job 'pretrain'; expected 'finetune'"):
        saved.load_run(tmp_path)


@pytest.mark.parametrize(
    ('facts', 'message'),
    [
        ({'classes': ['a']}, "has no spec.json, and its facts.json does not .*'config'"),
        ({'config': 3}, 'has no spec.json'),
        ({**OLD, 'config': {**OLD_CONFIG, 'model': {}}}, 'train it again'),
        ({**OLD, 'config': {**OLD_CONFIG, 'batch_norm': 7}}, 'batch_norm is 7; expected a text'),
        ([1], 'holds a list; expected a mapping'),
    ],
)
def test_old_facts_that_say_too_little_are_refused(
    folder: pathlib.Path, facts: object, message: str
) -> None:
    for spec in folder.rglob('spec.json'):
        spec.unlink()
    (folder / saved.FACTS).write_text(json.dumps(facts))
    with pytest.raises(UserError, match=message):
        saved.load_run(folder)


def spec_with(**changes: object) -> str:
    return json.dumps(
        {'kind': 'model', 'version': 1, 'backbone': 'recon', 'num_classes': 3, **changes}
    )


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('{', r'spec\.json cannot be read as JSON'),
        ('\xff', r'spec\.json cannot be read as JSON'),
        ('[' * 200_000, r'spec\.json cannot be read as JSON'),
        ('{"version": NaN}', 'NaN is no number of JSON'),
        ('1' * 5000, r'spec\.json cannot be read as JSON'),
        (' ' * 2**25, 'has more than 4,194,304 bytes'),
        ('null', 'holds None; expected the fields of a spec'),
        (spec_with(version=2), 'of a newer point_ft_jax'),
        (spec_with(backbone='nothing'), "no 'nothing' among the backbones"),
        (spec_with(geometry={'width': 'wide'}), "width is 'wide'; expected a whole number"),
        (spec_with(geometry={'depth': 10**6}), 'expected 1000 blocks at most'),
        (spec_with(geometry={'colour': 1}), 'backbone recon has no option colour'),
        (spec_with(method='lora', method_options={'rank': 'x'}), 'cannot be built'),
        (spec_with(method='ssf+lora', method_options={'lora': 3}), 'cannot be built'),
        (spec_with(), 'was saved by a run of another model or method'),
    ],
)
def test_a_damaged_spec_ends_in_one_message(folder: pathlib.Path, text: str, message: str) -> None:
    (folder / saved.DELTA / 'spec.json').write_text(text, encoding='latin-1')
    with pytest.raises(UserError, match=message):
        saved.load_run(folder)


def test_a_model_starts_from_a_run_a_file_or_random_weights(
    tmp_path: pathlib.Path,
) -> None:
    full = create_model('recon', 3, geometry=small.GEOMETRY)
    variables = drawn(full)
    torch_file.write(tmp_path / 'model.pth', full.export(variables), classes=[])
    for source in (write(tmp_path / 'run', full, variables), tmp_path / 'model.pth'):
        found, report = load_pretrained(full, str(source), seed=1)
        assert report.new == ()
        assert_same(found['params']['backbone'], variables['params']['backbone'])
    for source in (None, ''):
        found, report = load_pretrained(full, source, seed=1)
        assert report is None
        assert_same(found, full.init(jax.random.key(1)))


def test_a_head_comes_from_a_run_and_must_fit(tmp_path: pathlib.Path) -> None:
    probe, full = (
        create_model('recon', 3, method=method, geometry=small.GEOMETRY)
        for method in ('linear_probe', 'full')
    )
    variables = drawn(probe)
    run = str(write(tmp_path / 'run', probe, variables))
    found, _ = load_pretrained(full, run, seed=1, head=True)
    assert_same(found, variables)
    found, _ = load_pretrained(full, run, seed=1)
    assert not np.array_equal(
        found['params']['head']['logits']['kernel'], variables['params']['head']['logits']['kernel']
    )
    other = create_model('recon', 4, geometry=small.GEOMETRY)
    with pytest.raises(UserError, match=r'params/logits/bias: \(3,\); expected \(4,\)'):
        load_pretrained(other, run, head=True)
    for nothing in ('', 'pre.pth'):
        with pytest.raises(UserError, match='a head comes from the folder of a run'):
            load_pretrained(full, nothing, head=True)
