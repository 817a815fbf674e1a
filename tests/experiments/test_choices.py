"""Options of a config follow what the command line names in place of what its file names."""

import importlib

import pytest
from ml_collections import ConfigDict
from small import ROOT

from point_ft_jax.core.errors import UserError
from point_ft_jax.experiments import choices, config_files, given_config, recorded


def config(file: str, variant: str | None = None) -> ConfigDict:
    """The config of a file of configs/, of its first variant by default."""
    module = importlib.import_module(f'configs.{file}')
    return module.get_config(next(iter(module.VARIANTS)) if variant is None else variant)


def test_the_options_of_a_replaced_method_give_way_with_a_word() -> None:
    found = config('recon_dapt')
    [line] = choices.settle(found, {'method.name': 'lora'})
    assert line.startswith('method lora in place of dapt: what the config says for dapt alone')
    assert 'rank=64' in line
    assert '--config.method.options.OPTION=VALUE' in line
    assert found.method.options.to_dict() == {}


def test_any_option_of_what_is_named_can_be_set() -> None:
    found = config('recon_dapt')
    choices.settle(found, {'method.name': 'lora', 'method.options.rank': '8'})
    assert found.method.options.to_dict() == {'rank': 32}  # its default, which the flag changes
    assert choices.settle(found, {'data.classes': 'scan11'}) == []
    assert found.data.classes == 'scan15'
    svm = config('linear_svm', 'own')
    assert choices.settle(svm, {'data.test_fraction': '0.5', 'svm.geometry.depth': '3'}) == []
    assert (svm.data.test_fraction, svm.svm.geometry.depth) == (0.2, 12)


def test_options_of_several_methods_are_set_by_their_names() -> None:
    found = config('recon_dapt', 'probe')
    given = {'method.name': 'ssf+lora', 'method.options.lora.rank': '4'}
    assert choices.settle(found, given) == []  # a probe has no options that could give way
    assert found.method.options.lora.rank == 32


def test_an_option_that_what_is_named_lacks_is_refused_with_those_it_has() -> None:
    with pytest.raises(UserError, match="method lora has no option 'rnk'; it has rank, alpha"):
        choices.settle(config('recon_dapt'), {'method.name': 'lora', 'method.options.rnk': '8'})


def test_another_data_set_keeps_the_options_that_it_has_too() -> None:
    found = config('recon_dapt')
    [line] = choices.settle(found, {'data.name': 'folder', 'data.root': 'here'})
    assert "style='scan'" in line
    assert found.data.seed == 0
    assert found.data.normalize  # as in every config for clouds of one's own
    assert found.data.get('root') is None
    assert 'style' not in found.data


def test_numbers_that_another_backbone_has_otherwise_give_way() -> None:
    found = config('recon_dapt')
    given = {'model.backbone': 'point_m2ae'}
    lines = choices.settle(found, given)
    assert 'num_groups=32' in lines[0]
    assert found.model.geometry.to_dict() == {'drop_path': 0.0}
    found.model.variant = 'huge'
    assert "has no size 'huge'" in choices.settle(found, given)[-1]
    assert found.model.variant == 'base'


@pytest.mark.parametrize('path', sorted((ROOT / 'configs').glob('*.py')), ids=lambda p: p.stem)
def test_a_config_that_nothing_is_changed_in_stays_as_it_is(path) -> None:
    found, before = config(path.stem), config(path.stem)
    assert choices.settle(found, {'train.epochs': '3'}) == []
    assert recorded.settle(found, {}) == []
    assert found.to_dict() == before.to_dict()


@pytest.mark.parametrize('points', [1024, 512, None])
def test_what_a_checkpoint_was_made_as_replaces_what_the_config_says(
    points: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its groups only where clouds have as many points as it saw."""
    monkeypatch.setattr(recorded.record, 'points', lambda source: points)
    found = config('recon_dapt')
    assert found.points == 1024
    found.model.variant = 'base'
    found.model.geometry.num_groups = 64
    del found.method.options.positions_every_block
    lines = recorded.settle(found, {'model.geometry.group_size': '16'})
    groups = 'model.geometry.num_groups is 32, as shipped:recon_tiny was made, not 64'
    assert lines == [
        'model.variant is tiny, as shipped:recon_tiny was made, not base',
        *([groups] if points == 1024 else []),
        'method.options.positions_every_block is True, as shipped:recon_tiny was made',
    ]
    assert found.model.variant == 'tiny'
    assert found.model.geometry.num_groups == (32 if points == 1024 else 64)


def test_what_the_command_line_says_stays() -> None:
    found = config('recon_dapt')
    found.model.geometry.num_groups = 64
    assert recorded.settle(found, {'model.geometry.num_groups': '64'}) == []
    assert found.model.geometry.num_groups == 64


def test_a_backbone_that_is_not_the_checkpoints_is_refused_before_data_are_read() -> None:
    found = config('recon_dapt')
    with pytest.raises(UserError, match='shipped:recon_tiny holds the backbone recon, by its own'):
        recorded.settle(found, {'model.backbone': 'point_mae'})
    assert recorded.settle(found, {'model.backbone': 'point_mae', 'init.checkpoint': ''}) == []


def test_without_a_record_nothing_is_changed(tmp_path) -> None:
    found = config('recon_dapt')
    before = found.to_dict()
    for source in ('', str(tmp_path / 'published.pth'), 'shipped:giant'):
        assert recorded.settle(found, {'init.checkpoint': source}) == []
    assert found.to_dict() == before


def test_a_config_file_that_cannot_be_loaded_says_where(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr('sys.argv', ['run.py'])
    path = tmp_path / 'mine.py'
    path.write_text('def get_config():\n    return nothing\n')
    with pytest.raises(UserError, match=r"NameError: name 'nothing' .*\(line 2 of mine.py\)"):
        given_config.get_config(str(path))


def test_batches_that_are_asked_for_are_kept_however_few_clouds(monkeypatch) -> None:
    file = str(ROOT / 'configs' / 'recon_dapt.py')
    monkeypatch.setattr('sys.argv', ['run.py'])
    assert given_config.get_config(file).train.fewest_steps == 8
    monkeypatch.setattr('sys.argv', ['run.py', '--config.train.batch_size', '16'])
    assert given_config.get_config(file).train.fewest_steps == 0


def test_changes_are_read_in_both_ways_of_writing_them() -> None:
    arguments = ['run.py', '--config=x.py', '--config.a.b=1', '--config.c', '2', '--other=3']
    assert config_files.changes(arguments) == {'a.b': '1', 'c': '2'}
