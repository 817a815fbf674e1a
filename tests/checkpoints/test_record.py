"""Weights say what model they were made as, wherever they are kept."""

import pathlib

import jax
import pytest
from small import build, split

from point_ft_jax import TunedModel, finetune, save
from point_ft_jax.checkpoints import pretrained, record, shipped
from point_ft_jax.commands import export
from point_ft_jax.core.errors import UserError
from point_ft_jax.models import ModelSpec, create_model, geometry


@pytest.fixture(scope='module')
def run(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """A saved model of two narrow blocks, of 8 groups of 4."""
    model = build('linear_probe')
    facts = {'classes': ['a', 'b', 'c'], 'points': 32, 'checkpoint': ''}
    folder = tmp_path_factory.mktemp('record') / 'run'
    save(TunedModel(model, model.init(jax.random.key(0)), facts), folder)
    return folder


def test_a_run_and_the_files_exported_from_it_have_its_spec(run: pathlib.Path) -> None:
    spec = record.read(str(run))
    assert spec.geometry['num_groups'] == 8
    for name in ('a.pth', 'a.safetensors'):
        export.export(str(run), str(run.parent / name))
        assert record.read(str(run.parent / name)) == spec
        assert record.points(str(run.parent / name)) is None
    assert record.points(str(run)) == 32


def test_what_ships_has_a_record_of_the_model_that_it_fits() -> None:
    for file in shipped.FOLDER.glob('*.pth'):
        spec = record.read(f'shipped:{file.stem}')
        fields = {k: v for k, v in spec.geometry.items() if k != 'drop_path'}
        model = create_model(spec.backbone, 3, variant=spec.variant, geometry=fields)
        _, report = pretrained.load_pretrained(model, f'shipped:{file.stem}')
        # Point-M2AE's pre-training has no norm behind its last level.
        new = ('norm.bias', 'norm.weight') if spec.backbone == 'point_m2ae' else ()
        assert (report.new, report.differs) == (new, '')


def test_nothing_and_files_of_others_have_no_record() -> None:
    assert record.read('') is None
    assert record.of_entries('a.pth', {'epoch': 3}) is None
    with pytest.raises(UserError, match=r"the entry 'spec' of a\.pth is no JSON"):
        record.of_entries('a.pth', {'spec': '{'})


def test_a_load_names_what_the_model_has_otherwise(run: pathlib.Path) -> None:
    model = build('linear_probe', geometry={'num_groups': 16})
    _, report = pretrained.load_pretrained(model, str(run))
    assert str(report).endswith('; made with num_groups 8 (here 16)')


def test_weights_of_another_backbone_are_refused_though_all_their_names_fit(
    run: pathlib.Path,
) -> None:
    state = pretrained.state_dict(str(run))
    mae = build('linear_probe', backbone='point_mae')
    mae.load_backbone(mae.shapes(), state, 'run')  # nothing but the record tells them apart
    with pytest.raises(UserError, match='run holds the backbone recon, by its own record, and'):
        pretrained.load_pretrained(mae, str(run))


def test_one_stream_may_start_from_two() -> None:
    two = ModelSpec('recon_two_stream', 3)
    record.check_backbone('a.pth', two, 'recon')
    with pytest.raises(UserError, match=r'config\.model\.backbone=recon_two_stream'):
        record.check_backbone('a.pth', two, 'point_mae')


@pytest.mark.slow
def test_finetune_takes_the_geometry_of_the_record(run: pathlib.Path) -> None:
    tuned = finetune(split(24, 0), method='linear_probe', checkpoint=str(run), epochs=1)
    assert tuned.model.spec.backbone == 'recon'
    assert (tuned.model.module.backbone.num_groups, tuned.model.module.backbone.width) == (8, 12)


def test_a_size_and_a_hierarchy_are_no_difference_of_geometry() -> None:
    tiny = ModelSpec('recon', 3, variant='tiny', geometry={'num_groups': 32, 'drop_path': 0.1})
    base = ModelSpec('recon', 3)
    assert geometry.differences(tiny, base) == {'num_groups': (32, 128)}
    assert geometry.differences(tiny, ModelSpec('point_m2ae', 3)) == {}
    deep = ModelSpec('recon', 3, variant='tiny', geometry={'depth': 3})
    assert geometry.differences(deep, ModelSpec('recon', 3, variant='tiny')) == {'depth': (3, 12)}
