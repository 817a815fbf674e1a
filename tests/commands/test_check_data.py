"""The data checker: what it prints of sound data, and that no mistake ends in a traceback."""

import json
import re

import h5py
import numpy as np
import pytest

from point_ft_jax.__main__ import main as point_ft
from point_ft_jax.commands import check_data
from point_ft_jax.core.errors import UserError
from point_ft_jax.data import likeness


@pytest.fixture
def root(tmp_path):
    """Two classes; train 4 and test 2 clouds of 16 points."""
    rng = np.random.default_rng(0)
    write(tmp_path, 'train', rng.normal(size=(4, 16, 3)), [0, 1, 0, 1])
    write(tmp_path, 'test', rng.normal(size=(2, 16, 3)), [0, 1])
    (tmp_path / 'shape_names.txt').write_text('bag\nchair\n')
    return tmp_path


def write(root, split, points, labels):
    with h5py.File(root / f'{split}.h5', 'w') as file:
        file['data'], file['label'] = points.astype(np.float32), np.array(labels)


def read(root, split):
    with h5py.File(root / f'{split}.h5') as file:
        return file['data'][()]


def test_sound_data_is_described(root, capsys):
    assert check_data.main(['folder', f'--root={root}']) == 0
    out = capsys.readouterr().out
    assert 'train: 4 clouds of 16 points in 2 classes' in out
    assert 'test: 2 clouds of 16 points' in out
    assert f'{root}, train.h5 and test.h5' in out
    assert 'chair       2       1' in out
    assert out.endswith('no problems\n')
    assert 'note' not in out


def test_options_come_from_the_data_sets_own_signature(root, capsys):
    flags = [f'--root={root}', '--num_points=5', '--normalize=true', '--seed', '3']
    assert check_data.main(['folder', *flags]) == 0
    assert 'clouds of 5 points' in capsys.readouterr().out


def test_what_is_suspicious_is_noted(root, capsys):
    train = read(root, 'train')
    train[1] = train[0]
    write(root, 'train', train, [0, 1, 0, 1])
    write(root, 'test', np.stack([train[0], 100 * train[2]]), [0, 0])
    assert check_data.main(['folder', f'--root={root}']) == 0
    out = capsys.readouterr().out
    assert 'note: 1 clouds occur more than once in train: train.h5, cloud 0 = train.h5, cl' in out
    assert 'note: 1 clouds of test are also in train (train.h5, cloud 0 = train.h5, cloud 1' in out
    assert 'note: 1 clouds have two labels: train.h5, cloud 0 (bag) = train.h5, cloud 1 (cha' in out
    assert 'note: 1 clouds of another size than their class: test.h5, cloud 1' in out
    assert 'note: test has no cloud of chair' in out
    assert 'times as large as those of train' in out


def test_both_splits_problems_are_printed(root, capsys):
    write(root, 'train', read(root, 'train'), [0, 1, 0, 2])
    write(root, 'test', read(root, 'test')[..., :2], [0, 1])
    assert check_data.main(['folder', f'--root={root}', '--num_points=16']) == 1
    out = capsys.readouterr().out
    assert 'problem in train:' in out
    assert 'labels out of range: 2' in out
    assert 'problem in test:' in out
    assert out.endswith('this data set cannot be used as it is\n')


def test_a_problem_of_both_splits_is_printed_once(tmp_path, capsys):
    assert check_data.main(['scanobjectnn', f'--root={tmp_path / "nowhere"}']) == 1
    out = capsys.readouterr().out
    assert out.count('no folder') == 1
    assert 'problem in train and test' in out


def test_an_unknown_data_set_lists_those_there_are(capsys):
    known = 'folder, modelnet40, part_folder, scanobjectnn, shapenet55, shapenetpart, shapes'
    with pytest.raises(UserError, match=known):
        check_data.main(['scannet'])
    with pytest.raises(SystemExit) as ended:
        point_ft(['check_data', 'scannet'])
    assert ended.value.code == 2
    assert "error: there is no 'scannet' among the datasets" in capsys.readouterr().err


def test_without_a_name_the_usage_is_shown(capsys):
    assert check_data.main([]) == 2
    assert check_data.main(['--help']) == 0
    assert 'data sets: domains, folder, modelnet40' in capsys.readouterr().out


@pytest.mark.parametrize(
    ('flags', 'message'),
    [
        ([], 'the following arguments are required: --root'),
        (
            ['--root=x', '--variant=y'],
            'there is no flag --variant; see point-ft check_data folder',
        ),
        (['--root=x', '--seed=one'], "invalid int value: 'one'"),
        (['--root=x', '--normalize=maybe'], "'maybe'; expected True or False"),
    ],
)
def test_wrong_flags_end_in_one_message(flags, message):
    with pytest.raises(UserError, match=re.escape(message)):
        check_data.main(['folder', *flags])


def test_channels_are_a_list(root, capsys):
    for split in ('train', 'test'):
        with h5py.File(root / f'{split}.h5', 'a') as file:
            file['intensity'], file['height'] = file['data'][..., 0], file['data'][..., 1]
    assert check_data.main(['folder', f'--root={root}', '--channels=intensity, height']) == 0
    assert '(with intensity, height)' in capsys.readouterr().out


@pytest.fixture
def trained(tmp_path):
    """The folder of a run whose clouds were long along y, of 256 points, of two classes."""
    r = np.random.default_rng(1)
    clouds = r.uniform(-1, 1, (20, 256, 3)) * [0.3, 0.9, 0.1]
    facts = {'classes': ['bag', 'chair'], 'channels': [], 'points': 128}
    (tmp_path / 'run').mkdir()
    path = tmp_path / 'run' / 'facts.json'
    path.write_text(json.dumps({**facts, **likeness.measures(clouds)}))
    return tmp_path / 'run', clouds


def test_clouds_are_compared_with_what_a_run_was_trained_on(root, trained, capsys):
    run, clouds = trained
    turned = 40 * clouds[..., [0, 2, 1]]
    for split in ('train', 'test'):
        write(root, split, turned[:, :64], [0, 1] * 10)
    (root / 'shape_names.txt').write_text('bag\nsofa\n')
    assert check_data.main(['folder', f'--root={root}', f'--run={run}']) == 0
    out = capsys.readouterr().out
    start = f'note: unlike what {run} was trained on: '
    for text in (
        '2 classes there, 2 here (differing: chair, sofa)',
        'it takes 128 points, and these clouds have 64',
        '20 of 20, the first with 64 points, trained on 256',
        'radius 3',
        'their axes seem to be in the order x, z, y: is another axis up?',
    ):
        assert start + text in out, text
    assert len(out.splitlines()) < 20


def test_clouds_like_those_of_the_run_are_said_to_be(root, trained, capsys):
    run, clouds = trained
    for split in ('train', 'test'):
        write(root, split, clouds, [0, 1] * 10)
    assert check_data.main(['folder', f'--root={root}', f'--run={run}']) == 0
    assert f'the clouds are like those that {run} was trained on' in capsys.readouterr().out


def test_published_backbones_know_the_unit_sphere(root, capsys):
    flags = ['folder', f'--root={root}', '--checkpoint=shipped:recon_tiny']
    assert check_data.main([*flags, '--normalize=true']) == 0
    assert 'the clouds are like those that shipped:recon_tiny' in capsys.readouterr().out
    assert check_data.main(flags) == 0
    assert 'unlike what shipped:recon_tiny was trained on: 4 of 4' in capsys.readouterr().out
    with pytest.raises(UserError, match=r'no file .*none\.pth: expected the .pth of a backbone'):
        check_data.main([*flags[:2], '--checkpoint=none.pth'])
    with pytest.raises(UserError, match='is no folder of a run'):
        check_data.main([*flags[:2], f'--run={root}'])
