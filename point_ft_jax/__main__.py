"""`point-ft NAME …`, or `python -m point_ft_jax NAME …`: runs the command in commands/NAME.py."""

import sys
from collections.abc import Sequence

from point_ft_jax.core import plugins
from point_ft_jax.experiments import command_line

USAGE = """usage: point-ft COMMAND [ARGUMENTS]; point-ft COMMAND --help explains one

Experiments are run with `python run.py --config=configs/NAME.py`. Commands:
"""
TRAINING = (
    'error: training is not a command: run python run.py --config=configs/NAME.py, see '
    '`point-ft list configs`; or call point_ft_jax.finetune'
)


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs a command with its arguments, by default those of the process, and exits.

    Alone, or with --help, it lists the commands. The exit status is 0 after success, 2 after a
    user's mistake; see `command_line.guarded` for interrupts.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    if given[:1] in ([], ['-h'], ['--help'], ['help']):
        print(USAGE + plugins.table('commands'))
        return
    if given[0] in ('finetune', 'fine-tune', 'train', 'pretrain'):
        print(TRAINING, file=sys.stderr)
        sys.exit(2)
    command_line.guarded(lambda: sys.exit(plugins.load('commands', given[0]).main(given[1:])))


if __name__ == '__main__':
    main()
