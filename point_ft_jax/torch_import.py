"""Weights from and to the names of the PyTorch world, strictly.

A table (a backbone's or method's `torch_names`) maps tree paths to PyTorch names. Everything else
follows: a `kernel` is a transposed `weight`, a convolution's has a trailing axis of one, batch norms
have running statistics and a counter that means nothing here.
"""

import dataclasses
import re
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from point_ft_jax import params
from point_ft_jax.errors import UserError, raise_all

LEAVES = {
    'kernel': 'weight',
    'scale': 'weight',
    'bias': 'bias',
    'mean': 'running_mean',
    'var': 'running_var',
}
COUNTER = 'num_batches_tracked'
NUMBERED = re.compile(r'\b(block|level)_(\d+)')
# Prefixes that some file of any backbone has been seen with, beside the backbone's own.
WRAPPERS = ('',)


@dataclasses.dataclass(frozen=True)
class LoadReport:
    """What a load did, by PyTorch names.

    Attributes:
        prefix: below which the file kept the model.
        loaded: keys that went into the tree.
        parameters: the scalars among them that are parameters, not statistics.
        new: keys that the file lacks: these leaves keep their initial values.
        left: keys of the file that are no part of the model.
        counters: batch-norm step counters, ignored.
    """

    prefix: str
    loaded: tuple[str, ...]
    parameters: int
    new: tuple[str, ...]
    left: tuple[str, ...]
    counters: int

    def __str__(self) -> str:
        return (
            f'loaded {len(self.loaded)} keys ({self.parameters:,} parameters) below prefix '
            f'{self.prefix!r}; new: {summary(self.new)}; left in the file: {summary(self.left)}; '
            f'{self.counters} step counters ignored'
        )


def summary(keys: Sequence[str]) -> str:
    """'none', or the number of keys with their first parts: '46 (MAE_decoder 45, mask_token 1)'."""
    if not keys:
        return 'none'
    parts: dict[str, int] = {}
    for key in keys:
        parts[key.split('.')[0]] = parts.get(key.split('.')[0], 0) + 1
    return f'{len(keys)} ({", ".join(f"{part} {number}" for part, number in parts.items())})'


def torch_key(path: str, names: Mapping[str, str]) -> str:
    """The PyTorch name of the leaf at `path`.

    Raises:
        KeyError: the table has no entry for it; a table must cover its whole tree.
    """
    numbers = {kind: number for kind, number in NUMBERED.findall(path)}
    pattern = NUMBERED.sub(r'\1_{\1}', path)
    module, _, leaf = pattern.rpartition('/')
    if pattern in names:
        return names[pattern].format(**numbers)
    return f'{names[module].format(**numbers)}.{LEAVES[leaf]}'


def torch_shape(key: str, path: str, shape: tuple[int, ...], conv: Sequence[str]) -> tuple:
    """The shape that the leaf at `path` has under its PyTorch name `key`."""
    if not path.endswith('/kernel'):
        return shape
    return (*shape[::-1], 1) if params.matches(key, conv) else shape[::-1]


def from_torch(value: np.ndarray, path: str, shape: tuple[int, ...]) -> np.ndarray:
    """A PyTorch array as the leaf at `path` of `shape`."""
    if path.endswith('/kernel'):
        return np.ascontiguousarray(value.reshape(shape[::-1]).T)
    return value.reshape(shape)


def to_torch(value: np.ndarray, path: str, shape: tuple[int, ...]) -> np.ndarray:
    """The leaf at `path` as the PyTorch array of `shape`."""
    value = np.asarray(value)
    return np.ascontiguousarray(value.T if path.endswith('/kernel') else value).reshape(shape)


def export_variables(
    variables: Mapping[str, params.Tree], names: Mapping[str, str], conv: Sequence[str] = ()
) -> dict[str, np.ndarray]:
    """A state dict in PyTorch's names and shapes, with batch-norm counters at zero.

    `variables` holds the trees 'params' and 'batch_stats'; `names` and `conv` as in a backbone.
    """
    state = {}
    for path, leaf in _leaves(variables):
        key = torch_key(path, names)
        state[key] = to_torch(leaf, path, torch_shape(key, path, leaf.shape, conv))
        if path.endswith('/var'):
            state[key.replace('running_var', COUNTER)] = np.zeros((), np.int64)
    return state


def import_variables(
    state: Mapping[str, np.ndarray],
    variables: Mapping[str, params.Tree],
    names: Mapping[str, str],
    *,
    conv: Sequence[str] = (),
    prefixes: Sequence[str] = (),
    may_lack: Sequence[str] = (),
    leaves: Sequence[str] = (),
    source: str = 'the checkpoint',
) -> tuple[dict[str, params.Tree], LoadReport]:
    """`variables` with the values of a PyTorch state dict.

    Args:
        state: PyTorch's names to arrays. 'module.' is dropped wherever it stands.
        variables: the trees 'params' and 'batch_stats' to fill.
        names, conv, prefixes, may_lack, leaves: see `backbone.Backbone`.
        source: what the messages call the file.

    Returns:
        New trees, in the types of the old, and what was done.

    Raises:
        UserError: no key fits, or keys are missing, unexpected or of another shape; one message
            lists them all.
    """
    state = {key.replace('module.', ''): value for key, value in state.items()}
    targets = {torch_key(path, names): (path, leaf) for path, leaf in _leaves(variables)}
    prefix = _find_prefix(state, targets, (*prefixes, *WRAPPERS), source)
    inside = {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}
    outside = [k for k in state if not k.startswith(prefix)]
    counters = [k for k in inside if k.endswith(COUNTER)]
    shapes = {k: torch_shape(k, path, leaf.shape, conv) for k, (path, leaf) in targets.items()}
    extra = [k for k in (*inside, *outside) if k not in targets and not k.endswith(COUNTER)]
    new = tuple(k for k in targets if k not in inside)
    raise_all(
        [
            *(f'missing: {k} {shapes[k]}' for k in new if not params.matches(k, may_lack)),
            *(f'unexpected: {k}' for k in extra if not params.matches(k, leaves)),
            *(
                f'shape of {k}: found {inside[k].shape}, expected {shape}'
                for k, shape in shapes.items()
                if k in inside and tuple(inside[k].shape) != shape
            ),
        ],
        f'{source} does not fit this model (prefix {prefix!r}); choose the backbone, variant and '
        'class count that it was made with:',
    )
    loaded = tuple(k for k in targets if k in inside)
    leaves_by_path = dict(_leaves(variables))
    for key in loaded:
        path, leaf = targets[key]
        leaves_by_path[path] = from_torch(inside[key], path, leaf.shape).astype(leaf.dtype)
    result = {
        collection: params.map_paths(lambda path, _: leaves_by_path[path], tree)
        for collection, tree in variables.items()
    }
    number = sum(
        int(np.prod(shapes[k])) for k in loaded if not targets[k][0].endswith(('/mean', '/var'))
    )
    return result, LoadReport(prefix, loaded, number, new, tuple(extra), len(counters))


def _leaves(variables: Mapping[str, params.Tree]) -> Iterable[tuple[str, np.ndarray]]:
    """The leaves of all collections; their names differ, so that one path stands for one leaf."""
    return [item for tree in variables.values() for item in params.flatten(tree).items()]


def _find_prefix(
    state: Mapping[str, np.ndarray],
    targets: Mapping[str, object],
    prefixes: Sequence[str],
    source: str,
) -> str:
    """The prefix below which most of the model's keys stand; the earlier of equals."""
    hits = {p: sum(p + key in state for key in targets) for p in prefixes}
    best = max(prefixes, key=lambda p: hits[p])
    if hits[best] == 0:
        raise UserError(
            f'{source} has none of the {len(targets)} keys of this model. It has '
            f'{summary(tuple(state))}; expected keys such as {", ".join(list(targets)[:3])}, plain '
            f'or below {", ".join(repr(p) for p in prefixes if p)}.'
        )
    return best
