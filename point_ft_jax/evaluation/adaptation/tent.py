"""TENT: at test time the norms move so that predictions become surer.

Wang et al., Tent: Fully Test-Time Adaptation by Entropy Minimization, ICLR 2021, arXiv 2006.10726;
with several samplings of a cloud, whose weights are averaged, after Bahri et al., Test-Time
Adaptation in Point Clouds: Leveraging Sampling Variation with Weight Averaging, WACV 2025, arXiv
2411.01116.
"""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import Mesh

from point_ft_jax.core import trees
from point_ft_jax.core.devices import compiler_options
from point_ft_jax.core.errors import UserError, raise_all
from point_ft_jax.core.trees import Array, Variables
from point_ft_jax.evaluation.inference import Predict


def make_predict(
    module: nn.Module,
    mesh: Mesh,
    batch_size: int,
    *,
    lr: float = 1e-3,
    steps: int = 1,
    variations: int = 1,
    episodic: bool = False,
    seed: int = 0,
) -> Predict:
    """A function of variables and points [S, n, 3] to the logits [S, C] of the adapted model.

    For every batch in turn, the scales and shifts of all norms take `steps` of Adam down the mean
    entropy of the predictions, and the moved model answers; the next batch goes on from there. The
    running statistics of batch norms stay as they are (the paper normalises by the batch's own;
    the models here normalise tokens, and have batch norms in the tokenizer only). With several
    variations each starts from the same weights and sees the points in an order of its own, so that
    other centres are sampled; the weights then are their mean, a soup. A rate of 0 is plain
    evaluation.

    Args:
        module: the classifier.
        mesh: the devices.
        batch_size: clouds in a step; of a last batch that is not full, only its own count.
        lr: the learning rate, 0 or more.
        steps: of each batch.
        variations: how many samplings of each cloud, the first being the cloud as it is.
        episodic: whether every batch begins from the model as it was trained.
        seed: of the orders of the points.

    Raises:
        UserError: numbers out of range, or a model without norms.
    """
    wrong = [] if lr >= 0 and np.isfinite(lr) else [f'lr is {lr}; expected 0 or more']
    wrong += [
        f'{name} is {value}; expected 1 or more'
        for name, value in (('steps', steps), ('variations', variations))
        if value < 1
    ]
    raise_all(wrong, 'tent cannot adapt so:')
    tx = optax.adam(lr)
    run = jax.jit(functools.partial(_adapt, module, tx, steps), compiler_options=compiler_options())

    def predict(variables: Variables, points: np.ndarray) -> np.ndarray:
        moving, frozen = _norms(variables['params'])
        state = jax.vmap(tx.init, axis_size=variations, in_axes=None)(moving)
        first, size = (moving, state), min(batch_size, len(points))
        carry, found, rng = first, [], np.random.default_rng(seed)
        with jax.set_mesh(mesh):
            for start in range(0, len(points), size):
                batch = points[start : start + size]
                weights = (np.arange(size) < len(batch)).astype(np.float32)
                full = np.concatenate([batch, np.repeat(batch[-1:], size - len(batch), 0)])
                seen = _variations(full, variations, rng)
                carry, logits = run(*carry, frozen, variables['batch_stats'], seen, weights)
                carry = first if episodic else carry
                found.append(np.asarray(logits)[: len(batch)])
        return np.concatenate(found)

    return predict


def _norms(params: trees.Tree) -> tuple[trees.Tree, trees.Tree]:
    """The scales and shifts of all norms, and the other parameters."""
    scaled = {path[: -len('scale')] for path in trees.flatten(params) if path.endswith('/scale')}
    if not scaled:
        raise UserError('tent moves the scales and shifts of norms, and this model has no norm')
    affine = {prefix + name for prefix in scaled for name in ('scale', 'bias')}
    chosen = trees.map_paths(lambda path, _: path in affine, params)
    return trees.partition(params, chosen)


def _variations(points: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """[count, B, n, 3]: the clouds, and the same with their points in other orders."""
    orders = [np.arange(points.shape[1])]
    orders += [rng.permutation(points.shape[1]) for _ in range(count - 1)]
    return np.stack([points[:, order] for order in orders])


def _adapt(
    module: nn.Module,
    tx: optax.GradientTransformation,
    steps: int,
    moving: trees.Tree,
    state: optax.OptState,
    frozen: trees.Tree,
    batch_stats: trees.Tree,
    seen: Array,
    weights: Array,
) -> tuple[tuple[trees.Tree, optax.OptState], Array]:
    """The norms and the optimizer's states after a batch, and what the moved model answers."""

    def logits(moving: trees.Tree, points: Array) -> Array:
        params = trees.combine(moving, frozen)
        return module.apply({'params': params, 'batch_stats': batch_stats}, points)

    def entropy(moving: trees.Tree, points: Array) -> Array:
        log = jax.nn.log_softmax(logits(moving, points))
        return -((jnp.exp(log) * log).sum(axis=-1) * weights).sum() / weights.sum()

    def one(state: optax.OptState, points: Array) -> tuple[trees.Tree, optax.OptState]:
        here = moving
        for _ in range(steps):
            updates, state = tx.update(jax.grad(entropy)(here, points), state, here)
            here = optax.apply_updates(here, updates)
        return here, state

    moved, state = jax.vmap(one)(state, seen)
    moving = jax.tree.map(lambda leaf: leaf.mean(axis=0), moved)
    return (moving, state), logits(moving, seen[0])
