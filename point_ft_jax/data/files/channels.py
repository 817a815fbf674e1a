"""What files say of a point beside its place: colours, normals, intensity, by name."""

import pathlib
from collections.abc import Mapping, Sequence

import numpy as np

from point_ft_jax.core.errors import UserError
from point_ft_jax.data.checks import COLOURS
from point_ft_jax.data.files import h5, named, npy, text

NORMALS = ('nx', 'ny', 'nz')
# What may be asked for with one word, and what else files call a channel.
TOGETHER = {'color': COLOURS, 'normal': NORMALS}
ALIASES = {
    'red': ('r', 'diffuse_red'),
    'green': ('g', 'diffuse_green'),
    'blue': ('b', 'diffuse_blue'),
    'nx': ('normal_x',),
    'ny': ('normal_y',),
    'nz': ('normal_z',),
    'intensity': ('scalar_intensity', 'reflectance'),
}
# The arrays of an .npz that hold several channels.
ARRAYS = {
    **dict.fromkeys(('color', 'colors', 'colour', 'colours', 'rgb'), COLOURS),
    **dict.fromkeys(('normal', 'normals'), NORMALS),
}


def expand(asked: Sequence[str]) -> tuple[str, ...]:
    """The names of single channels: 'color' is red, green, blue and 'normal' is nx, ny, nz.

    Raises:
        UserError: a channel twice, or a coordinate.
    """
    names = tuple(name for word in asked for name in TOGETHER.get(word, (word,)))
    if len(set(names)) < len(names) or {'x', 'y', 'z'} & set(names):
        raise UserError(
            f'channels {", ".join(names)}: expected each of them once, and none of x, y, z, which '
            'come first anyway'
        )
    return names


def read(
    path: str | pathlib.Path,
    names: Sequence[str],
    size: int,
    nonfinite: str = 'refuse',
    sampling: tuple[int, ...] = (),
) -> np.ndarray:
    """The channels of a file's `size` points, [N, F] float32, in the order asked.

    They are properties of a .ply and of other files with names (see `named`), columns named in the
    header of a text file, arrays of an .npz or .h5 (`colors` [N, 3], `normals` [N, 3], or a
    channel's own [N]). A file without names, .npy or text without a header, must have x, y, z and
    exactly as many columns more, which are taken in the order asked. `sampling` are the seed and
    the number of points drawn from a mesh. Colours come out in 0..1: whole numbers, and numbers
    above 1, are divided by 255 (of 16 bits by 65,535). With `nonfinite='drop'` values may be NaN,
    for the caller to drop.

    Raises:
        UserError: a channel that is not there (the message lists what is), of another length, or
            with a value that is not finite.
    """
    path, names = pathlib.Path(path), expand(names)
    found = _columns(path, names, sampling)
    if missing := [name for name in names if name not in found]:
        there = sorted(set(found) - {'x', 'y', 'z'})
        raise UserError(
            f'{path} has no channel {", ".join(missing)}; it has {", ".join(there) or "none"} '
            'beside x, y, z: ask for fewer channels, or leave this file out'
        )
    values = [np.asarray(found[name]) for name in names]
    if wrong := [n for n, v in zip(names, values, strict=True) if v.shape != (size,)]:
        raise UserError(f'{path}: {", ".join(wrong)} differ in number from its {size:,} points')
    table = np.stack(_scaled(names, values), axis=1).astype(np.float32)
    if nonfinite == 'refuse' and not np.isfinite(table).all():
        raise UserError(f'{path}: {", ".join(names)} hold a NaN or an infinity; remove such points')
    return table


def beside(points: np.ndarray, asked: Sequence[str], values: Sequence[np.ndarray]) -> np.ndarray:
    """Clouds [S, N, 3 + F] of their points [S, N, 3] and an array for each word asked.

    An array is [S, N] or, for a word that stands for several channels, [S, N, F]; colours as in
    `read`.

    Raises:
        UserError: an array of another shape.
    """
    columns = []
    for word, value in zip(asked, values, strict=True):
        names = expand([word])
        value = value[..., None] if value.ndim == 2 else value
        expected = (*points.shape[:2], len(names))
        if value.shape != expected:
            raise UserError(
                f'{word} has shape {list(value.shape)}; expected {list(expected)}, as many clouds '
                'and points as data has'
            )
        columns += list(np.moveaxis(value, -1, 0))
    scaled = _scaled(expand(asked), columns)
    precise = np.result_type(points.dtype, np.float32)  # far from the origin it is needed
    return np.concatenate([points, np.stack(scaled, axis=-1)], axis=-1, dtype=precise)


def _columns(
    path: pathlib.Path, names: tuple[str, ...], sampling: tuple[int, ...]
) -> Mapping[str, np.ndarray]:
    """What a file has by name, under the names that are used here."""
    ending = path.suffix.lower()
    if ending in named.ENDINGS:
        return _renamed(named.columns(path, *sampling))
    if ending == '.npz':
        return _arrays(npy.read_named(path, npy.names(path)))
    if ending in ('.h5', '.hdf5'):
        keys = h5.keys(path)
        return _arrays(dict(zip(keys, h5.arrays(path, keys), strict=True)))
    if ending == '.npy':
        table = npy.read(path)
    else:
        header, table = _text(path, names)
        if header:
            return table
    if table.shape[1] != 3 + len(names):
        raise UserError(
            f'{path} has no names for its {table.shape[1]} columns; for {", ".join(names)} there '
            f'must be {3 + len(names)}, x, y, z first: name the columns, or cut the others off'
        )
    return dict(zip(names, table[:, 3:].T, strict=True))


def _text(
    path: pathlib.Path, names: tuple[str, ...]
) -> tuple[list[str], np.ndarray | dict[str, np.ndarray]]:
    """The header of a text file, and its columns by name; [] and the table without a header."""
    known = {alias for name in names for alias in (name, *ALIASES.get(name, ()))}
    header: list[str] = []

    def pick(head: list[str]) -> list[int]:
        header.extend(head)
        return [i for i, word in enumerate(head) if word in known] or [head.index('x')]

    table = text.table(path, pick, leave_words=True)
    if not header:
        return [], table
    columns = dict.fromkeys(header, np.empty(0))  # the others are there, to be named in a message
    read = dict(zip([word for word in header if word in known], table.T, strict=False))
    return header, _renamed({**columns, **read})


def _arrays(arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    found = {}
    for key, value in arrays.items():
        several = ARRAYS.get(key.lower())
        if several and value.ndim == 2 and value.shape[1] == 3:
            found |= dict(zip(several, value.T, strict=True))
        elif value.ndim == 1:
            found[key.lower()] = value
    return _renamed(found)


def _renamed(found: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    ours = {alias: name for name, aliases in ALIASES.items() for alias in aliases}
    return {ours.get(name.lower(), name.lower()): value for name, value in found.items()}


def _scaled(names: Sequence[str], values: Sequence[np.ndarray]) -> list[np.ndarray]:
    """The channels as float64, colours in 0..1."""
    colours = [v for name, v in zip(names, values, strict=True) if name in COLOURS]
    divisor = 1.0
    if any(v.dtype.kind in 'iu' or (v > 1).any() for v in colours):
        wide = any(v.dtype.itemsize > 1 and (v > 255).any() for v in colours)
        divisor = 65535.0 if wide else 255.0
    return [
        v.astype(np.float64) / (divisor if name in COLOURS else 1.0)
        for name, v in zip(names, values, strict=True)
    ]
