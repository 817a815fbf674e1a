"""Lists what there is: backbones, methods, datasets, configs, weights, jobs.

point-ft list methods
point-ft list weights
"""

import difflib
from collections.abc import Sequence

from point_ft_jax.checkpoints import shipped
from point_ft_jax.core import flags, plugins
from point_ft_jax.core.errors import UserError
from point_ft_jax.experiments import config_files

KINDS = ('backbones', 'methods', 'datasets', 'configs', 'weights', 'jobs')


def main(arguments: Sequence[str]) -> None:
    """Runs the command with its arguments."""
    parser = flags.parser('list', __doc__)
    parser.add_argument('kind', nargs='?', help=f'one of {", ".join(KINDS)}')
    kind = parser.parse_args(arguments).kind
    if kind is None:
        raise UserError(f'say what to list: {", ".join(KINDS)}')
    print(table(kind))


def table(kind: str) -> str:
    """The things of a kind, a line each.

    Raises:
        UserError: an unknown kind.
    """
    if kind not in KINDS:
        nearest = difflib.get_close_matches(kind, KINDS, 1, 0.5)
        suggestion = f'; did you mean {nearest[0]!r}?' if nearest else '.'
        raise UserError(f'{kind!r} cannot be listed{suggestion} There are: {", ".join(KINDS)}')
    if kind == 'configs':
        return config_files.table()
    if kind == 'weights':
        return (
            f'{plugins.aligned(shipped.summaries())}\n'
            'What authors published, and what loads it: docs/weights.md; `point-ft inspect FILE` '
            'says what a file is.'
        )
    return plugins.table(kind)
