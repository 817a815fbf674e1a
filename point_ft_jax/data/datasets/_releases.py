"""Where a data set lies that was released in several forms."""

import fnmatch
import pathlib
from collections.abc import Mapping

from point_ft_jax.core.errors import UserError
from point_ft_jax.data.datasets._options import check_choice
from point_ft_jax.data.files import h5
from point_ft_jax.data.files.folders import below, existing_root


def find(
    name: str, root: str, form: str, folders: Mapping[str, str], marks: Mapping[str, str]
) -> tuple[str, pathlib.Path]:
    """The form and the folder of the release at `root`, or in its folder below.

    Args:
        name: of the data set.
        root: the folder of a release, or the one above it.
        form: the one that is wanted, or 'auto' for the one that is there.
        folders: form -> the name of its folder.
        marks: form -> a pattern of files that only it has.

    Raises:
        UserError: an unknown form; none there, or two of them.
    """
    check_choice('form', form, ('auto', *folders))
    base = existing_root(root)
    found = {
        kind: folder
        for kind, release in folders.items()
        for folder in (base / release, base)
        if any(folder.glob(marks[kind]))
    }
    wanted = [kind for kind in found if form in ('auto', kind)]
    if not wanted:
        deep = [path for mark in marks.values() for path in below(base, mark)]
        if deep:
            small = any(fnmatch.fnmatchcase(deep[0].name, mark) for mark in marks.values())
            names = '' if small else ', and write the names of its files in small letters'
            raise UserError(
                f'{name} lies further down in {base}: set root to {deep[0].parent}{names}'
            )
        looked = ' and '.join(f'{mark} ({kind})' for kind, mark in marks.items())
        raise UserError(
            f'no {name} of the form {form} in {base}: looked for {looked}, also in '
            f'{" and ".join(folders.values())}; {h5.listing(base)}'
        )
    if len(wanted) > 1:
        raise UserError(f'{base} holds two forms of {name}; set form to {" or ".join(wanted)}')
    return wanted[0], found[wanted[0]]
