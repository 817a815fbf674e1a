"""What run.py answers: which configs there are, what one is, and a run's own config again."""

import functools
import json
import pathlib
import shlex
import sys

import pytest
from absl import flags
from ml_collections import config_flags
from small import ROOT, tiny

from point_ft_jax.core import json_files
from point_ft_jax.core.errors import UserError
from point_ft_jax.experiments import (
    command_line,
    config,
    config_files,
    config_help,
    run_folder,
    saved_config,
)


def test_every_field_has_a_comment_of_its_own_or_of_its_section() -> None:
    for make, job in ((config.default, 'finetune'), (config.pretraining, 'pretrain')):
        known = config_help.field_comments(job)
        names = json_files.fields(json.loads(make().to_json_best_effort()))
        bare = [
            name
            for name in names
            if name not in known and not name.startswith(('data.', 'model.geometry', 'model.head'))
            and name.rpartition('.')[0] not in known
        ]  # fmt: skip
        assert bare == []


def test_comments_are_those_of_the_source() -> None:
    known = config_help.field_comments('finetune')
    assert known['points'] == 'of a cloud, as the model sees it'
    assert known['optim.clip'] == 'of the global norm; 0 for none'
    assert known['model.backbone'] == 'a file of models/backbones/'
    assert known['train.halve_momentum_every'].startswith('Epochs after which running statistics')
    assert 'method.options' not in known
    assert known['data.normalize'] == 'centre each cloud and scale it to radius 1'
    assert 'svm.c' not in known
    assert config_help.field_comments('vote')['svm.c'].startswith('its C')


def test_the_help_of_a_config_has_its_docstring_variants_and_fields(tmp_path: pathlib.Path) -> None:
    path = ROOT / 'configs' / 'recon_dapt.py'
    found = tiny(tmp_path)
    text = config_help.describe(str(path), found)
    assert text.splitlines()[0].endswith(config_files.summary(path))
    assert 'probe, full, own, obj_bg' in text
    line = next(line for line in text.splitlines() if 'train.epochs =' in line)
    assert line.split() == ['train.epochs', '=', '2', 'passes', 'over', 'the', 'training', 'clouds']
    assert 'point-ft check_data shapes --help' in text


def test_a_name_that_is_no_config_is_answered_with_the_nearest_and_with_all() -> None:
    with pytest.raises(UserError) as error:
        config_files.resolved(['run.py', '--config=recon_dabt'])
    message = str(error.value)
    assert "no config 'recon_dabt'; did you mean --config=configs/recon_dapt.py" in message
    for file in (ROOT / 'configs').glob('*.py'):
        assert f'  {file.stem}' in message


def saved(folder: pathlib.Path, **changes: object) -> pathlib.Path:
    """The config.json of a run in a folder."""
    made = tiny(folder, **changes)
    run_folder.begin(made)
    return folder / 'config.json'


def test_the_folder_of_a_run_is_told_from_its_config(tmp_path: pathlib.Path) -> None:
    path = saved(tmp_path / 'run')
    with pytest.raises(UserError, match=rf'folder of a run; its config is --config={path}'):
        config_files.resolved(['run.py', '--config', str(path.parent)])
    assert config_files.resolved(['run.py', '--config', str(path), '--config.points=3']) == [
        'run.py', f'--config={config_files.GIVEN}:{path}', '--config.points=3',
    ]  # fmt: skip


def test_a_run_is_given_again_by_its_own_config(tmp_path: pathlib.Path) -> None:
    path = saved(tmp_path / 'run', **{'optim.faster': ('head/*',), 'seeds': (3, 4)})
    again = saved_config.get_config(str(path))
    first = tiny(tmp_path / 'run', **{'optim.faster': ('head/*',), 'seeds': (3, 4)})
    assert again.seeds == (3, 4)
    assert json.loads(again.to_json_best_effort()) == json.loads(first.to_json_best_effort())
    run_folder.begin(again)  # it is the config of that folder
    moved = tmp_path / 'moved'
    (tmp_path / 'run').rename(moved)
    assert saved_config.get_config(str(moved / 'config.json')).folder == str(moved)


@pytest.mark.parametrize(
    'make', [config.pretraining, config.robust, lambda: config.judging('vote')]
)
def test_configs_of_every_kind_of_job_come_back(make, tmp_path: pathlib.Path) -> None:
    first = make()
    first.folder = str(tmp_path)
    run_folder.begin(first)
    again = saved_config.get_config(str(tmp_path / 'config.json'))
    assert json.loads(again.to_json_best_effort()) == json.loads(first.to_json_best_effort())
    assert again.init.checkpoint == first.init.checkpoint
    assert type(again.seeds) is tuple


def test_the_command_in_a_report_can_be_pasted_into_a_shell(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    arguments = ['run.py', "--config.data.channels=('color', 'normal')", '--config.data.root=a b$c']
    monkeypatch.setattr(sys, 'argv', arguments)
    assert shlex.split(command_line.given()) == ['python', *arguments]
    again = run_folder.command_of(pathlib.Path('/runs/a b'), '')
    assert shlex.split(again) == ['python', 'run.py', '--config=/runs/a b/config.json']
    assert run_folder.command_of(pathlib.Path('/runs'), 'mine') == 'mine'


def test_a_field_of_later_versions_has_its_default_in_an_older_run(tmp_path: pathlib.Path) -> None:
    path = saved(tmp_path)
    plain = json.loads(path.read_text())
    del plain['optim']['ema'], plain['vote'], plain['checksum']
    path.write_text(json.dumps(plain))
    again = saved_config.get_config(str(path))
    assert (again.optim.ema, again.vote.votes) == (0.0, 0)
    (tmp_path / 'seed_0').mkdir()
    run_folder.begin(again)  # it is the run of that folder
    again.optim.ema = 0.5
    with pytest.raises(UserError, match=r'optim\.ema: 0\.0 there, 0\.5 now'):
        run_folder.begin(again)
    path.write_text('[1]')
    with pytest.raises(UserError, match='is no config of a run'):
        saved_config.get_config(str(path))


@pytest.mark.parametrize(
    ('section', 'name', 'value', 'message'),
    [
        ('', 'train', 5, 'train is 5; expected a section'),
        ('', 'data', None, 'data is None; expected a section'),
        ('model', 'geometry', [1], r'model.geometry is \[1\]; expected a section'),
        ('train', 'epochs', '7', "train.epochs is '7'; expected such as"),
        ('', 'seeds', {'a': 1}, r"seeds is \{'a': 1\}; expected such as \(0,\)"),
        ('model', 'backbone', 3, 'model.backbone is 3; expected such as'),
    ],
)
def test_a_config_of_other_kinds_of_values_is_named(
    section: str, name: str, value: object, message: str, tmp_path: pathlib.Path
) -> None:
    path = saved(tmp_path)
    plain = json.loads(path.read_text())
    del plain['checksum']
    (plain[section] if section else plain)[name] = value
    path.write_text(json.dumps(plain))
    with pytest.raises(UserError, match=f'(?s)config.json is no config of a run:.*{message}'):
        saved_config.get_config(str(path))


def answer(arguments: list[str], capsys: pytest.CaptureFixture) -> tuple[int, str, str]:
    """The status of a command with a config flag, and what it prints."""
    values = flags.FlagValues()
    config_flags.DEFINE_config_file('config', None, 'help', values, lock_config=True)
    parse = functools.partial(command_line._parse, ['run.py', *arguments], 'Runs it.', True)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(flags, 'FLAGS', values)
        patched.setattr(sys, 'argv', ['run.py', *arguments])  # where config_flags looks
        with pytest.raises(SystemExit) as exit_:
            command_line.guarded(parse)
    found = capsys.readouterr()
    return exit_.value.code, found.out, found.err


@pytest.mark.filterwarnings('ignore:the load_module')  # of ml_collections
def test_help_explains_and_a_missing_config_is_one_message(capsys: pytest.CaptureFixture) -> None:
    status, out, err = answer([], capsys)
    assert (status, out) == (2, '')
    assert err.startswith('error: no config is given: python run.py --config=configs/NAME.py')
    assert '  recon_dapt        DAPT on' in err
    status, out, _ = answer(['--help'], capsys)
    assert status == 0
    assert out.startswith('Runs it.')
    assert '  wise_ft_lp' in out
    given = f'--config={ROOT / "configs" / "linear_svm.py"}'
    status, out, _ = answer([given, '--config.svm.c=0.5', '--help'], capsys)
    assert status == 0
    assert 'svm.c = 0.5' in out


@pytest.mark.filterwarnings('ignore:the load_module')  # of ml_collections
@pytest.mark.parametrize(
    ('flag', 'message'),
    [
        ('--confg=x', 'error: there is no flag --confg; did you mean --config?; see --help\n'),
        ('--config.train.epochs=x', "--config.train.epochs is 'x'; expected a whole number"),
        ('--config.train.epoch=3', "the config has no field 'epoch'; did you mean 'epochs'?"),
    ],
)
def test_a_wrong_flag_is_one_plain_message(
    flag: str, message: str, capsys: pytest.CaptureFixture
) -> None:
    status, out, err = answer([f'--config={ROOT / "configs" / "linear_svm.py"}', flag], capsys)
    assert (status, out) == (2, '')
    assert message in err
    assert len(err.splitlines()) == 1
