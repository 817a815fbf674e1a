"""Losses, gradients and states that are not finite: caught in the step they appear in, and named.

A step whose loss or gradient is not finite changes nothing: the member stays in the state before
it, and so do all later steps. Nothing that is not finite is saved, ranked or reported.
"""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from point_ft_jax.core import trees
from point_ft_jax.core.devices import compiler_options, everywhere, to_host
from point_ft_jax.core.errors import UserError, some
from point_ft_jax.core.trees import Array
from point_ft_jax.data.split import Split
from point_ft_jax.training.population import Population, Training
from point_ft_jax.training.step import State, gradients

WATCHED = ('train_loss', 'gradient_norm')
ADVICE = (
    'lower config.optim.lr, warm up for longer (config.optim.warmup), clip gradients '
    '(config.optim.clip), or look for outliers in the data (point-ft check_data)'
)


def keep_finite(
    population: Population,
    before: State,
    after: State,
    logs: dict[str, Array],
    i: Array,
    scalars: dict[str, Array],
) -> tuple[State, dict[str, Array]]:
    """Inside a compiled loop: the state after the i-th step of an epoch, and the logs with it.

    Of a member whose loss or gradient is not finite, in this step or in one before, it is the state
    `before`; what later steps log is NaN, which is how a member is known to have stopped. The count
    of steps goes on in a population, and stops where one trains alone.
    """
    steps = len(logs[WATCHED[0]])
    last = jnp.where(i > 0, i - 1, steps - 1)
    ran = jnp.stack([jnp.isfinite(logs[name][last]) for name in WATCHED]).all(0)
    good = ran & jnp.stack([jnp.isfinite(scalars[name]) for name in WATCHED]).all(0)

    def keep(new: Array, old: Array) -> Array:
        return jnp.where(jnp.reshape(good, good.shape + (1,) * (new.ndim - good.ndim)), new, old)

    state = State(
        step=after.step if population.several else keep(after.step, before.step),
        trainable=jax.tree.map(keep, after.trainable, before.trainable),
        batch_stats={
            part: leaves
            if part in population.shared
            else jax.tree.map(keep, leaves, before.batch_stats[part])
            for part, leaves in after.batch_stats.items()
        },
        opt_state=jax.tree.map(keep, after.opt_state, before.opt_state),
    )
    logged = {
        name: logs[name].at[i].set(jnp.where(ran, value, jnp.nan))
        for name, value in scalars.items()
    }
    return state, logged


def stopped(training: Training, first: int, last: int) -> dict[int, int]:
    """{member: the first step of an epoch, of `first` to `last`, that was not finite for it}."""
    logs = to_host({name: training.logs[name] for name in WATCHED})
    good = np.stack([np.isfinite(values[first:last]) for values in logs.values()]).all(0)
    good = good.reshape(last - first, -1)
    members = range(good.shape[1])
    return {k: first + int(good[:, k].argmin()) for k in members if not good[:, k].all()}


def before(logs: dict[str, Array], index: int) -> dict[str, Array]:
    """The logs of an epoch without what its steps from `index` on have written."""
    return {name: values.at[index:].set(0) for name, values in logs.items()}


def explain(
    training: Training, split: Split, rows: np.ndarray, member: int, epoch: int, index: int
) -> str:
    """What happened to a member in a step, on what clouds, and what to try.

    Args:
        training: in the state before that step, see `keep_finite`.
        split: that is trained on.
        rows: [B], the clouds of the member's batch.
        member: its number.
        epoch: counted from 1.
        index: of the step in the epoch, from 0.
    """
    steps = len(training.logs[WATCHED[0]])
    number = (epoch - 1) * steps + index
    value, found = _gradients(training, split, rows, member, number)
    leaves = [path for path, leaf in trees.flatten(found).items() if not np.isfinite(leaf).all()]
    what = 'training loss' if not np.isfinite(value) else 'gradient'
    told = f'{value}' if not np.isfinite(value) else 'not finite'
    seed = f' of member {member}' if training.population.several else ''
    total = len(jax.tree.leaves(found))
    return (
        f'the {what}{seed} of epoch {epoch} is {told}: {ADVICE}. It is that of step {index + 1} of '
        f'{steps} (step {number + 1} of training), and {len(leaves)} of {total} gradients are not '
        f'finite{_named(leaves)}.{_weights(training, member)} The batch: {_clouds(split, rows)}'
    )


def _named(leaves: Sequence[str]) -> str:
    return f' ({some(leaves, 3)})' if leaves else ''


def _weights(training: Training, member: int) -> str:
    """A sentence about weights that were not finite before the step; '' if all were."""
    own, _ = _member(training, member)
    paths = trees.nonfinite({'trained': own, 'frozen': training.frozen})
    return f' Not finite before it: {some(paths, 3)}.' if paths else ''


def _clouds(split: Split, rows: np.ndarray) -> str:
    """Clouds by number, and by name where they have one; those with NaN and infinities first."""
    broken = [row for row in rows if not np.isfinite(split.points[row]).all()]

    def name(row: int) -> str:
        return f'{row} ({split.names[row]})' if len(split.names) else f'{row}'

    if broken:
        return f'clouds {some(map(name, broken), 8)} have points that are not finite'
    return f'clouds {some(map(name, rows), 8)} of the training split'


def _member(training: Training, member: int) -> tuple[trees.Tree, trees.Tree]:
    state = training.state
    return training.population.member_variables(member, state.trainable, state.batch_stats)


def _gradients(
    training: Training, split: Split, rows: np.ndarray, member: int, number: int
) -> tuple[float, trees.Tree]:
    """The loss and the gradients of a member in a step, by itself."""
    recipe, population = training.recipe, training.population
    trainable, batch_stats = _member(training, member)
    several = population.several
    key = population.keys[member] if several else population.keys
    cloud_key = population.keys[0] if several and not population.own_clouds else None
    data = jax.tree.map(lambda array: array[rows], (split.points, recipe.task.targets(split)))

    def run(trainable: trees.Tree, frozen: trees.Tree, batch_stats: trees.Tree, *data: Any) -> Any:
        state = State(jnp.int32(number), trainable, batch_stats, None)
        value, _, _, found = gradients(recipe, state, frozen, *data, key, cloud_key)
        return value, found

    compiled = jax.jit(run, compiler_options=compiler_options())
    value, found = to_host(
        compiled(trainable, training.frozen, batch_stats, *everywhere(recipe.mesh, data))
    )
    return float(value), found


def check_state(training: Training) -> None:
    """Raises UserError for a state with NaN or infinities, which is not to be kept.

    Optimizers may keep infinities, as `optimizer.NormHistory` does.
    """
    state = training.state
    paths = trees.nonfinite({'weights': state.weights, 'trained': state.trainable})
    paths += trees.nonfinite({'batch_stats': state.batch_stats})
    paths += trees.nonfinite({'optimizer': state.opt_state}, infinities=False)
    if paths:
        raise UserError(
            f'the state after step {training.steps_done} is not finite, in {len(paths)} leaves '
            f'({some(paths, 3)}){_members(training)}: {ADVICE}. It is not saved; what was saved '
            'before stays'
        )


def _members(training: Training) -> str:
    """' of members 1, 2': those with such states; '' where one trains alone."""
    if not training.population.several:
        return ''
    members = range(len(training.population.members))
    return f' of members {some(k for k in members if trees.nonfinite(_member(training, k)[0]))}'
