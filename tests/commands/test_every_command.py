"""Every command explains itself with an example, and answers a wrong flag with one message."""

import pathlib
import re

import pytest
from small import ROOT

from point_ft_jax import __main__ as front
from point_ft_jax.core import plugins

COMMANDS = plugins.available('commands')


def answer(arguments: list[str], capsys: pytest.CaptureFixture) -> tuple[int, str, str]:
    """The status of a command and what it prints."""
    with pytest.raises(SystemExit) as exit_:
        front.main(arguments)
    found = capsys.readouterr()
    return exit_.value.code or 0, found.out, found.err


@pytest.mark.parametrize('name', COMMANDS)
def test_help_begins_with_what_the_list_says_and_has_an_example(
    name: str, capsys: pytest.CaptureFixture
) -> None:
    first = plugins.summary('commands', name)
    assert re.fullmatch(r'[A-Z].*[.:].*', first)
    for flag in ('--help', '-h'):
        status, out, err = answer([name, flag], capsys)
        assert (status, err) == (0, '')
        assert first in out
        assert re.search(rf'^ *point-ft {name}( [^\[\]]*)?$', out, re.MULTILINE)


@pytest.mark.parametrize('name', COMMANDS)
def test_the_first_example_can_be_typed_as_it_stands(
    name: str, capsys: pytest.CaptureFixture
) -> None:
    """What it names lies in a clone, or a command of the same help has made it before."""
    lines = answer([name, '--help'], capsys)[1].splitlines()
    place, example = next(
        (i, line.strip()) for i, line in enumerate(lines) if line.strip().startswith('point-ft ')
    )
    before = '\n'.join(lines[:place])
    words = [word.rpartition('=')[2] for word in example.split()[2:]]
    assert not any(word.isupper() for word in words)
    for word in words:
        if word.startswith('runs/'):
            made = 'recon_dapt.py:probe' if word.endswith('_probe') else 'configs/recon_dapt.py'
            assert made in before
            assert word.startswith('runs/recon_dapt') or f'--config.folder={word}' in before
        elif word.startswith('docs/'):
            assert (ROOT / word).exists() or name in ('draw_rooms', 'memory')
    read = {'check_data', 'inspect', 'list', 'compile', 'benchmark'}
    assert name in read or any(w.startswith(('runs/', 'docs')) for w in words)


@pytest.mark.parametrize('name', COMMANDS)
def test_an_unknown_flag_is_one_message_and_status_2(
    name: str, capsys: pytest.CaptureFixture
) -> None:
    required = {'check_data': ['shapes'], 'predict': ['a', 'b'], 'export': ['a', 'b']}
    given = required.get(name, [])
    status, out, err = answer([name, *given, '--no_such_flag=1'], capsys)
    assert (status, out) == (2, '')
    assert err.startswith('error: ')
    assert len(err.splitlines()) == 1
    assert '--help' in err


def test_a_flag_that_is_nearly_one_is_suggested(capsys: pytest.CaptureFixture) -> None:
    _, _, err = answer(['predict', 'run', 'cloud.ply', '--tpo=3'], capsys)
    assert (
        err == 'error: there is no flag --tpo; did you mean --top?; see point-ft predict --help\n'
    )


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (['write_samples', 'FILE'], 'FILE cannot be a folder: FILE is a file; give another place'),
        (['report', 'GONE', '--out=FILE'], 'FILE cannot be a folder: FILE is a file'),
        (['memory', '--out=FILE/in'], 'FILE/in cannot be a folder: FILE is a file'),
        (['draw_shapes', 'GONE'], 'GONE/shapes.png cannot be written: there is no folder GONE'),
        (['draw_rooms', 'GONE/a.png'], 'GONE/a.png cannot be written: there is no folder GONE'),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else '',
)
def test_a_place_that_cannot_be_written_is_found_before_anything_is_made(
    arguments: list[str], message: str, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture
) -> None:
    file, gone = tmp_path / 'file', tmp_path / 'gone'
    file.touch()

    def placed(text: str) -> str:
        return text.replace('FILE', str(file)).replace('GONE', str(gone))

    status, _, err = answer([placed(word) for word in arguments], capsys)
    assert status == 2
    assert placed(message) in err
