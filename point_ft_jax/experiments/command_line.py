"""What the commands share: start-up of JAX, and how mistakes and interrupts end."""

import contextlib
import functools
import os
import pathlib
import re
import shlex
import signal
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NoReturn

import absl.logging
from absl import app, flags

from point_ft_jax.core import cache, disk, folder_lock, processes
from point_ft_jax.core.errors import UserError
from point_ft_jax.experiments import config_files, config_help
from point_ft_jax.training.interrupt import Interrupted, Stopped, ending


def start() -> None:
    """Keeps compiled programs on disk, and joins the other processes of a distributed run.

    Libraries that log what they do (orbax, above all) are asked for errors only. The cache is
    $JAX_COMPILATION_CACHE_DIR, or point_ft_jax in the user's cache folder. What tells of the other
    processes is in `processes.join`.
    """
    import jax

    absl.logging.set_verbosity(absl.logging.ERROR)
    if 'JAX_COMPILATION_CACHE_DIR' not in os.environ:
        jax.config.update('jax_compilation_cache_dir', str(cache.folder()))
        jax.config.update('jax_persistent_cache_min_compile_time_secs', 0.0)
    processes.join()
    processes.check_devices()


def given() -> str:
    """The command that this process was given, as a shell takes it."""
    return shlex.join(['python', *sys.argv])


def guarded(command: Callable[[], None]) -> None:
    """Runs a command; a user's mistake ends in its message and status 2, never in a traceback.

    A full or failing disk ends in a message and status 1. A stop by Ctrl-C, SIGTERM or SIGHUP ends
    in 130, 143 or 129, after saying how to go on. Of several processes, one that fails ends at
    once, and so do those that lose it.
    """
    try:
        with ending(), _plain_warnings():
            command()
    except UserError as error:
        _end(str(error), getattr(error, 'status', 2))
    except Stopped as stopped:
        print(f'{stopped}; give the same command again to go on', file=sys.stderr)
        sys.exit(128 + stopped.signal)
    except KeyboardInterrupt:
        _interrupted(signal.SIGINT)
    except Interrupted as interrupted:
        _interrupted(interrupted.signal)
    except Exception as error:
        if reason := disk.failure(error):
            _end(f'{reason}. {SAFE}', 1)
        if not processes.several():
            raise
        processes.lost(error)


@contextlib.contextmanager
def _plain_warnings() -> Iterator[None]:
    """While a command runs a warning to its user is a line, without the place in the code."""
    usual = warnings.formatwarning

    def line(message: Warning | str, category: type[Warning], *place: Any) -> str:
        if category is UserWarning:
            return f'warning: {message}\n'
        return usual(message, category, *place)

    warnings.formatwarning = line
    try:
        yield
    finally:
        warnings.formatwarning = usual


SAFE = (
    'What was saved before is whole: make room, or mend the disk, and give the same command again '
    'to go on'
)


def _end(message: str, status: int) -> NoReturn:
    """Ends with a message; of several processes, without waiting for the others.

    After a failed write at once, too: threads that were writing would say it again in a regular
    end.
    """
    _print_error(message)
    if processes.several() or status == disk.DiskError.status:
        folder_lock.release_all()
        processes.leave(status)
    sys.exit(status)


def _interrupted(number: int) -> NoReturn:
    """Ends at once: a compiler or a program at work in a thread would crash in a regular end."""
    name = signal.Signals(number).name
    _print_error(f'interrupted ({name}); what was finished is kept, and the same command goes on')
    folder_lock.release_all()
    processes.leave(128 + number)


def run_with_config(
    main: Callable[[list[str]], None],
    arguments: Sequence[str] | None = None,
    required: bool = False,
) -> None:
    """`app.run` for commands with a config flag, guarded, mistakes in the flags included.

    With --help it explains the config, or lists those there are.

    Args:
        main: what runs once the flags have their values.
        arguments: they begin with the command's name; by default they are the process's.
        required: whether there is nothing to do without a config.
    """
    parse = functools.partial(_parse, usage=sys.modules[main.__module__].__doc__ or '')
    if required:
        parse = functools.partial(parse, required=True)
    guarded(lambda: app.run(main, argv=arguments and list(arguments), flags_parser=parse))


def numbers(flag: str, text: str) -> list[int]:
    """The positive whole numbers of a flag, joined by commas; UserError for anything else."""
    parts = text.split(',')
    if not all(part.strip().isdecimal() and int(part) for part in parts):
        raise UserError(f'{flag} is {text!r}; expected whole numbers joined by commas, as 8,16')
    return [int(part) for part in parts]


def written(path: str | os.PathLike, what: str = '') -> str:
    """The line that says which file or folder a command wrote, wherever it was called."""
    place = pathlib.Path(path).expanduser().absolute()
    return f'wrote {place}: {what}' if what else f'wrote {place}'


def check_target(path: str) -> None:
    """Raises a `UserError` where a file can't be written, before anything is made for it."""
    target = pathlib.Path(path).expanduser().absolute()
    if target.is_dir():
        raise UserError(f'{path} is a folder; expected the name of a file to write')
    if not target.parent.is_dir():
        raise UserError(f'{path} cannot be written: there is no folder {target.parent}')


def check_folder(path: str) -> None:
    """Raises a `UserError` where a folder can't be written, before anything is made for it."""
    place = pathlib.Path(path).expanduser().absolute()
    there = next(one for one in (place, *place.parents) if one.exists())
    if not there.is_dir():
        raise UserError(f'{path} cannot be a folder: {there} is a file; give another place')


HELP = ('-h', '-help', '--help', '--helpshort', '--helpfull')


def _parse(arguments: Sequence[str], usage: str, required: bool = False) -> list[str]:
    """What is left beside the flags, whose values are set; or help, and the end of the process.

    Raises:
        UserError: what absl and ml_collections say in tracebacks; or a config that is not there.
    """
    asked = bool(set(HELP) & set(arguments))
    arguments = [argument for argument in arguments if argument not in HELP]
    config = config_files.given(arguments)
    if config is None and asked:
        print(f'{usage.strip()}\n\nConfigs, in configs/:\n{config_files.table()}')
        sys.exit(0)
    if config is None and required:
        raise UserError(config_files.missing())
    rest = _values(config_files.resolved(arguments))
    if asked:
        print(config_help.describe(config, flags.FLAGS['config'].value))
        sys.exit(0)
    return rest


def _values(arguments: Sequence[str]) -> list[str]:
    """The flags' values are set; what is left of the arguments."""
    try:
        rest = flags.FLAGS(list(arguments))
        for name in flags.FLAGS:
            # A config file that could not be loaded says so only when somebody looks into it.
            value = flags.FLAGS[name].value
            if hasattr(value, 'to_dict'):
                value.to_dict()
    except (flags.Error, AttributeError, KeyError, TypeError, ValueError, OSError) as error:
        raise UserError(f'{_plain(str(error))}; see --help') from None
    return rest


# Config fields of before, and what stands in their place.
REPLACED = {
    'remat': (
        "it is train.memory now, 'fast' for what was False, 'least' for True, or 'balanced' between"
    ),
}


def _plain(message: str) -> str:
    """The part of a message that is meant for a person."""
    if found := re.search(r'UserError: (.*?)(\n\s*\n|\Z)', message, re.DOTALL):
        return found[1].strip()
    if found := re.search(r'Did you mean \\?\"(.*?)\\?\" instead of \\?\"(.*?)\\?\"', message):
        return f'the config has no field {found[2]!r}; did you mean {found[1]!r}?'
    if old := next((name for name in REPLACED if re.search(rf'\b{name}\b', message)), None):
        return f'the config has no field {old!r} any more: {REPLACED[old]}'
    if found := re.fullmatch(r"""["']+(\w+)["']+""", message):
        return f'the config has no field {found[1]!r}; its file in configs/ says what there is'
    if 'Failed loading config file' in message:
        return (
            'the config file could not be loaded:\n' + message.split('config_config', 1)[-1].strip()
        )
    if found := re.search(r'flag --([\w.]+)=(.*?): (invalid literal|could not convert)', message):
        kind = 'a whole number' if found[3].startswith('invalid') else 'a number'
        return f'--{found[1]} is {found[2]!r}; expected {kind}'
    if found := re.search(
        r"Unknown command line flag '([^']+)'(?:\. Did you mean: (\S+))?", message
    ):
        suggestion = f'; did you mean --{found[2]}?' if found[2] else ''
        return f'there is no flag --{found[1]}{suggestion}'
    message = message.strip()
    return message[1:-1] if message[:1] == message[-1:] and message[:1] in '"\'' else message


def _print_error(message: str) -> None:
    print(f'error: {message}', file=sys.stderr)
