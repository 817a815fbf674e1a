"""Lists what there is: backbones, methods, datasets, configs, weights, jobs.

point-ft list methods
point-ft list weights
"""

import argparse
import ast
import difflib
import pathlib
from collections.abc import Sequence

from point_ft_jax.checkpoints import shipped
from point_ft_jax.core import plugins
from point_ft_jax.core.errors import UserError

CONFIGS = pathlib.Path(__file__).parents[2] / 'configs'
KINDS = ('backbones', 'methods', 'datasets', 'configs', 'weights', 'jobs')


def main(arguments: Sequence[str]) -> None:
    """Runs the command with its arguments."""
    parser = argparse.ArgumentParser(
        prog='point-ft list',
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
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
    if kind == 'configs' and not CONFIGS.is_dir():
        raise UserError('the configs lie in the folder configs/ of a clone; none is installed here')
    if kind == 'configs':
        return plugins.aligned({p.stem: _summary(p) for p in sorted(CONFIGS.glob('*.py'))})
    if kind == 'weights':
        return plugins.aligned(shipped.summaries())
    return plugins.table(kind)


def _summary(path: pathlib.Path) -> str:
    docstring = ast.get_docstring(ast.parse(path.read_text(encoding='utf-8'))) or ''
    return docstring.split('\n')[0]
