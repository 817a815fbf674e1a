"""Every command explains itself with an example, and answers a wrong flag with one message."""

import re

import pytest

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
