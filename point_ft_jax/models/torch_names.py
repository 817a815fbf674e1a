"""Weights from and to the names of the PyTorch world, strictly.

A table (a backbone's or method's `torch_names`) maps tree paths to PyTorch names. Everything else
follows: a `kernel` is a transposed `weight`, a convolution's has a trailing axis of one, batch
norms have running statistics and a counter that means nothing here.
"""

import dataclasses
import re
from collections.abc import Iterable, Mapping, Sequence

import jax.numpy as jnp
import numpy as np

from point_ft_jax.core import trees
from point_ft_jax.core.errors import UserError, raise_all
from point_ft_jax.core.trees import Variables

LEAVES = {
    'kernel': 'weight',
    'scale': 'weight',
    'bias': 'bias',
    'mean': 'running_mean',
    'var': 'running_var',
}
COUNTER = 'num_batches_tracked'
NUMBERED = re.compile(r'\b(block|level)_(\d+)')
# What PyTorch puts into the names of a model that it wraps.
PARTS_PUT_IN = ('module', '_orig_mod')


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
        widened: keys whose weights got zeros for channels that the file does not know.
        project: what wrote the file, where its names had to be translated; else ''.
        differs: in what the model differs from the one that the file's own record says; '' where
            it has none, or in nothing.
    """

    prefix: str
    loaded: tuple[str, ...]
    parameters: int
    new: tuple[str, ...]
    left: tuple[str, ...]
    counters: int
    widened: tuple[str, ...] = ()
    project: str = ''
    differs: str = ''

    def __str__(self) -> str:
        widened = f'; zeros for new channels in {", ".join(self.widened)}' if self.widened else ''
        names = f'names of {self.project}; ' if self.project else ''
        differs = f'; made with {self.differs}' if self.differs else ''
        return (
            f'{names}loaded {len(self.loaded)} keys ({self.parameters:,} parameters) below prefix '
            f'{self.prefix!r}; new: {summary(self.new)}; left in the file: {summary(self.left)}; '
            f'{self.counters} step counters ignored{widened}{differs}'
        )


@dataclasses.dataclass(frozen=True)
class Fit:
    """How a state dict fits a model, by PyTorch names.

    Attributes:
        report: what a load does, or would do.
        missing: keys that the file lacks and should not, with their shapes.
        unexpected: keys of the file that nothing accounts for.
        misshapen: keys of another shape than the model's, with both.
        unsound: keys whose values are no finite real numbers, with what they are.
    """

    report: LoadReport
    missing: tuple[str, ...]
    unexpected: tuple[str, ...]
    misshapen: tuple[str, ...]
    unsound: tuple[str, ...] = ()

    @property
    def problems(self) -> list[str]:
        """What stands against a load, a line each."""
        return [
            *(f'missing: {key}' for key in self.missing),
            *(f'unexpected: {key}' for key in self.unexpected),
            *(f'shape of {key}' for key in self.misshapen),
            *(f'values of {key}' for key in self.unsound),
        ]


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
        UserError: the table has no entry for it. A backbone's table covers its whole tree, a
            method's what it has on the backbones that it was published with.
    """
    numbers = dict(NUMBERED.findall(path))
    pattern = NUMBERED.sub(r'\1_{\1}', path)
    module, _, leaf = pattern.rpartition('/')
    if pattern in names:
        return names[pattern].format(**numbers)
    if module not in names:
        raise UserError(f'{path} has no PyTorch name: no published model has this part')
    return f'{names[module].format(**numbers)}.{LEAVES[leaf]}'


def torch_shape(key: str, path: str, shape: tuple[int, ...], conv: Sequence[str]) -> tuple:
    """The shape that the leaf at `path` has under its PyTorch name `key`.

    A convolution's kernel has a trailing axis of one for each pattern of `conv` that its name fits.
    """
    if not path.endswith('/kernel'):
        return shape
    return shape[::-1] + (1,) * sum(trees.matches(key, [pattern]) for pattern in conv)


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
    variables: Mapping[str, trees.Tree], names: Mapping[str, str], conv: Sequence[str] = ()
) -> dict[str, np.ndarray]:
    """A state dict in PyTorch's names and shapes, with batch-norm counters at zero.

    `variables` holds the trees 'params' and 'batch_stats'; `names` and `conv` as in a backbone.
    """
    state = {}
    for path, leaf in _leaves(variables):
        key = torch_key(path, names)
        state[key] = to_torch(leaf, path, torch_shape(key, path, leaf.shape, conv))
        if path.endswith('/var'):
            state[key.removesuffix(LEAVES['var']) + COUNTER] = np.zeros((), np.int64)
    return state


def merge_twins(state: Mapping[str, np.ndarray], twins: Mapping[str, str]) -> dict[str, np.ndarray]:
    """`state` with second names (see `Method.torch_twins`) as first; the later value wins."""
    return {_renamed(key, twins): value for key, value in without_module(state).items()}


def add_twins(state: Mapping[str, np.ndarray], twins: Mapping[str, str]) -> dict[str, np.ndarray]:
    """The inverse: `state` with what has two names under both."""
    second_names = {
        _renamed(key, {first: second}): value
        for second, first in twins.items()
        for key, value in state.items()
        if key.startswith(first)
    }
    return {**state, **second_names}


def _renamed(key: str, beginnings: Mapping[str, str]) -> str:
    """`key` with what it begins with replaced; a beginning ends with a dot."""
    for old, new in beginnings.items():
        if key.startswith(old):
            return new + key.removeprefix(old)
    return key


def compare(
    state: Mapping[str, np.ndarray],
    variables: Mapping[str, trees.Tree],
    names: Mapping[str, str],
    *,
    conv: Sequence[str] = (),
    prefixes: Sequence[str] = (),
    may_lack: Sequence[str] = (),
    leaves: Sequence[str] = (),
    told_apart: Mapping[str, str] | None = None,
) -> Fit:
    """How a PyTorch state dict fits the trees `variables`; arguments as in `import_variables`."""
    targets = _targets(variables, names)
    state = _unwrapped(without_module(state), targets, (*prefixes, ''))
    prefix = _find_prefix(state, targets, (*prefixes, ''))
    inside = {k.removeprefix(prefix): v.shape for k, v in state.items() if k.startswith(prefix)}
    outside = [k for k in state if not k.startswith(prefix)]
    shapes = {k: torch_shape(k, path, leaf.shape, conv) for k, (path, leaf) in targets.items()}
    left = [k for k in (*inside, *outside) if k not in targets and not _is_counter(k)]
    loaded = tuple(k for k in targets if k in inside)
    new = tuple(k for k in targets if k not in inside)
    weights = [k for k in loaded if not targets[k][0].endswith(('/mean', '/var'))]
    report = LoadReport(
        prefix=prefix,
        loaded=loaded,
        parameters=sum(int(np.prod(shapes[k])) for k in weights),
        new=new,
        left=tuple(left),
        counters=sum(_is_counter(k) for k in inside),
    )
    return Fit(
        report,
        missing=tuple(f'{k} {shapes[k]}' for k in new if not trees.matches(k, may_lack)),
        unexpected=tuple(k for k in left if not trees.matches(k, leaves)),
        misshapen=tuple(
            f'{k}: found {tuple(inside[k])}, expected {shapes[k]}{_hint(k, told_apart)}'
            for k in loaded
            if tuple(inside[k]) != shapes[k]
        ),
        unsound=tuple(
            f'{k}: {what}; expected finite real numbers'
            for k in loaded
            if (what := _unsound(state[prefix + k], targets[k][0].endswith('/var')))
        ),
    )


def import_variables(
    state: Mapping[str, np.ndarray],
    variables: Mapping[str, trees.Tree],
    names: Mapping[str, str],
    *,
    conv: Sequence[str] = (),
    prefixes: Sequence[str] = (),
    may_lack: Sequence[str] = (),
    leaves: Sequence[str] = (),
    told_apart: Mapping[str, str] | None = None,
    source: str = 'the checkpoint',
) -> tuple[Variables, LoadReport]:
    """`variables` with the values of a PyTorch state dict.

    Args:
        state: PyTorch's names to arrays. A part 'module' is dropped wherever it stands.
        variables: the trees 'params' and 'batch_stats' to fill.
        names, conv, prefixes, may_lack, leaves, told_apart: see `backbone.Backbone`.
        source: what the messages call the file.

    Returns:
        New trees, in the types of the old, and what was done.

    Raises:
        UserError: no key fits, or keys are missing, unexpected, of another shape, or hold NaN,
            infinities or whole numbers; one message lists them all.
    """
    fit = compare(
        state,
        variables,
        names,
        conv=conv,
        prefixes=prefixes,
        may_lack=may_lack,
        leaves=leaves,
        told_apart=told_apart,
    )
    report = fit.report
    if not report.loaded:
        raise UserError(
            f'{source} has none of the {len(report.new)} keys of this model. It has '
            f'{summary(tuple(state))}; expected keys such as {", ".join(report.new[:3])}, plain '
            f'or below {", ".join(map(repr, prefixes)) or "no prefix"}.'
        )
    raise_all(
        fit.problems,
        f'{source} does not fit this model (prefix {report.prefix!r}); choose the backbone, '
        'variant and class count that it was made with:',
    )
    targets = _targets(variables, names)
    state = _unwrapped(without_module(state), targets, (*prefixes, ''))
    leaves_by_path = dict(_leaves(variables))
    for key in report.loaded:
        path, leaf = targets[key]
        value = from_torch(state[report.prefix + key], path, leaf.shape)
        leaves_by_path[path] = value.astype(leaf.dtype)
    result = {
        collection: trees.map_paths(lambda path, _: leaves_by_path[path], tree)
        for collection, tree in variables.items()
    }
    return result, report


def _hint(key: str, told_apart: Mapping[str, str] | None) -> str:
    """What another shape of `key` says of the file, behind a semicolon; or nothing."""
    return f'; {told_apart[key]}' if key in (told_apart or {}) else ''


def without_module(state: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """`state` without the parts 'module' and '_orig_mod' of its names.

    Training on several GPUs puts in the first, `torch.compile` the second.

    Whole parts between dots only: 'submodule.weight' keeps its name.

    Raises:
        UserError: two names that become one, of different values.
    """
    plain: dict[str, np.ndarray] = {}
    keys: dict[str, str] = {}
    twice = []
    for key, value in state.items():
        name = '.'.join(part for part in key.split('.') if part not in PARTS_PUT_IN)
        if name in plain and not np.array_equal(plain[name], value):
            twice.append(f'{keys[name]} and {key}')
        plain[name], keys[name] = value, key
    if twice:
        raise UserError(
            f'there are two models in it: {len(twice):,} pairs of names are the same but for '
            f'{" and ".join(PARTS_PUT_IN)}, such as {twice[0]}; choose one by --prefix, or save '
            'it alone'
        )
    return plain


def _unwrapped(
    state: Mapping[str, np.ndarray], targets: Mapping[str, object], prefixes: Sequence[str]
) -> Mapping[str, np.ndarray]:
    """`state` without the longest beginning of all its names behind which the model's stand.

    A framework for training puts 'model.' or 'net.' in front of every name; `prefixes` are the
    reference's own, which stay.
    """
    first = next(iter(state), '')
    common = [
        first[: end + 1]
        for end in range(len(first))
        if first[end] == '.' and all(key.startswith(first[: end + 1]) for key in state)
    ]
    best = ''
    most = max(sum(prefix + key in state for key in targets) for prefix in prefixes)
    for wrapper in common:
        found = max(sum(wrapper + p + key in state for key in targets) for p in prefixes)
        if found > most:
            best, most = wrapper, found
    return {key.removeprefix(best): value for key, value in state.items()}


def _unsound(value: np.ndarray, variance: bool) -> str:
    """What is wrong with the values of a weight, or of a variance; '' where nothing is."""
    if not jnp.issubdtype(value.dtype, jnp.floating):
        return f'of type {value.dtype}'
    with np.errstate(over='ignore'):
        broken = int(np.count_nonzero(~np.isfinite(value.astype(np.float32))))
    if broken:
        return f'{broken:,} of {value.size:,} are NaN or infinite'
    below = int(np.count_nonzero(value < 0)) if variance else 0
    return f'{below:,} of {value.size:,} variances are below 0' if below else ''


def _is_counter(key: str) -> bool:
    return key.rpartition('.')[2] == COUNTER


def _targets(
    variables: Mapping[str, trees.Tree], names: Mapping[str, str]
) -> dict[str, tuple[str, np.ndarray]]:
    """{PyTorch name: (path, leaf)} of all leaves."""
    return {torch_key(path, names): (path, leaf) for path, leaf in _leaves(variables)}


def _leaves(variables: Mapping[str, trees.Tree]) -> Iterable[tuple[str, np.ndarray]]:
    """The leaves of all collections; their names differ, so that one path stands for one leaf."""
    return [item for tree in variables.values() for item in trees.flatten(tree).items()]


def _find_prefix(
    state: Mapping[str, np.ndarray], targets: Mapping[str, object], prefixes: Sequence[str]
) -> str:
    """The prefix below which most of the model's keys stand; the earlier of equals."""
    return max(prefixes, key=lambda prefix: sum(prefix + key in state for key in targets))
