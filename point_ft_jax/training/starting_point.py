"""L2-SP: weights that are penalised for leaving where they started."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import optax

from point_ft_jax.core import trees
from point_ft_jax.core.errors import UserError

PRETRAINED = ('backbone/*',)  # what has a pre-trained start; a head and a tuner have none


def l2_sp(strength: float, paths: Sequence[str] = PRETRAINED) -> optax.GradientTransformation:
    """Adds the gradient of strength / 2 |theta - theta_0|^2 to the gradients of the loss.

    Li et al., ICML 2018, arXiv 1802.01483. theta_0 is what `init` is given: the weights at the
    start of training, which the state keeps, so that a resumed run is drawn to the same. The other
    half of the paper's penalty, which draws new weights to 0, is weight decay.

    Args:
        strength: the paper's alpha, 0 or more. Under Adam it is relative to the loss's gradient.
        paths: patterns (`fnmatch`) of the leaves that are penalised.

    Raises:
        UserError: a strength below 0, or, from `init`, patterns that fit nothing that trains.
    """
    if not 0 <= strength < float('inf'):
        raise UserError(f'l2_sp is {strength}; expected 0 or a positive number')

    def init(tree: trees.Tree) -> dict[str, jax.Array]:
        start = {p: jnp.copy(a) for p, a in trees.flatten(tree).items() if trees.matches(p, paths)}
        if not start:
            raise UserError(
                f'l2_sp draws {", ".join(paths)} to its start, and none of it trains: set '
                "config.optim.l2_sp to 0, or train the backbone, as method 'full' does"
            )
        return start

    def update(
        gradients: trees.Tree, start: dict[str, jax.Array], tree: trees.Tree
    ) -> tuple[trees.Tree, dict[str, jax.Array]]:
        now = trees.flatten(tree)

        def leaf(path: str, gradient: jax.Array) -> jax.Array:
            return gradient + strength * (now[path] - start[path]) if path in start else gradient

        return trees.map_paths(leaf, gradients), start

    return optax.GradientTransformation(init, update)
