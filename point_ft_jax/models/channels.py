"""What a point has besides its position: colours, normals, intensity.

Points enter a model as [B, N, 3 + F]. Where they are, the first three channels say: sampling and
neighbours look at nothing else. A tokenizer sees all channels of a neighbourhood, the first three
relative to its centre.
"""

from collections.abc import Mapping

import jax.numpy as jnp
import numpy as np

from kernels import Groups, gather_points, group_points
from point_ft_jax.core.errors import UserError
from point_ft_jax.core.trees import Array

PLACE = 3  # channels that say where a point is


def filled(points: Array, channels: int, fill: float | None) -> Array:
    """`points` [B, N, C] with the `channels` that a backbone takes.

    Clouds of x, y, z alone get `fill` in the others, where the backbone has one.

    Raises:
        UserError: at trace time, clouds of another number of channels.
    """
    found = points.shape[-1]
    if found == channels:
        return points
    if found == PLACE and fill is not None:
        return jnp.pad(points, ((0, 0), (0, 0), (0, channels - PLACE)), constant_values=fill)
    more = f'x, y, z and {channels - PLACE} more' if channels > PLACE else 'x, y, z'
    raise UserError(
        f'clouds of {found} channels; this backbone takes {channels} ({more}): leave out what it '
        f'cannot use, or build it with geometry.input_channels={found}'
    )


def group(
    points: Array, num_groups: int, group_size: int, *, skip_near_origin: bool = True
) -> Groups:
    """Neighbourhoods of `points` [B, N, 3 + F] with all their channels, [B, G, K, 3 + F].

    As `kernels.group_points` of the first three; the others are the neighbours' own.
    """
    place, features = points[..., :PLACE], points[..., PLACE:]
    grouped = group_points(place, num_groups, group_size, skip_near_origin=skip_near_origin)
    if not features.shape[-1]:
        return grouped
    both = (grouped.groups, gather_points(features, grouped.indices))
    return grouped._replace(groups=jnp.concatenate(both, axis=-1))


def widen(
    state: Mapping[str, np.ndarray], key: str, channels: int
) -> tuple[Mapping[str, np.ndarray], tuple[str, ...]]:
    """A file's `state` with its first map taking `channels`, and the keys that were changed.

    A map of x, y, z alone, [width, 3, 1] under `key` below any prefix, gets zero weights for the
    other channels: the model starts as the function that it was.
    """
    narrow = [
        name
        for name, value in state.items()
        if name.endswith(key) and value.ndim == 3 and value.shape[1] == PLACE < channels
    ]
    padding = ((0, 0), (0, channels - PLACE), (0, 0))
    return {**state, **{name: np.pad(state[name], padding) for name in narrow}}, tuple(narrow)
