"""WiSE-FT and WiSE-FT-LP: the models between a pre-trained and a fine-tuned one.

WiSE-FT (Wortsman et al., CVPR 2022, arXiv 2109.01903) interpolates weights; for point clouds the
head has no pre-trained counterpart, so that only the backbone moves, under the fine-tuned head.
WiSE-FT-LP (Zhang et al., 2024, arXiv 2404.16422) then freezes the backbone and trains the head on.
"""

import dataclasses
from collections.abc import Callable, Sequence

import jax
import numpy as np

from point_ft_jax.core import trees
from point_ft_jax.core.trees import Variables
from point_ft_jax.models.model import Model
from point_ft_jax.weight_space import arithmetic, batch_statistics

MOVES = ('backbone', 'tuner')  # what is interpolated; the head is not


@dataclasses.dataclass(frozen=True)
class Ends:
    """The two models, as variables of one form: 'params' and 'batch_stats' by part.

    Attributes:
        pretrained: alpha 0, without a head.
        finetuned: alpha 1, without a head.
        head: the fine-tuned head's own variables.
        taken: paths that the pre-trained model lacks: at alpha 0 too they have the fine-tuned
            values.
    """

    pretrained: Variables
    finetuned: Variables
    head: Variables
    taken: tuple[str, ...] = ()


def ends(
    model: Model, pretrained: Variables, finetuned: Variables, lacking: Sequence[str] = ()
) -> Ends:
    """The ends of the path from `pretrained` to `finetuned`.

    Args:
        model: of both.
        pretrained: what fine-tuning started from; of its tuner nothing is used, since a tuner's
            pre-trained end is its identity (`Method.identity`).
        finetuned: what it came to.
        lacking: paths below the backbone that the pre-training file did not have.

    Raises:
        UserError: models of different forms, or a tuner without identity.
    """
    tuned = {name: _moving(tree) for name, tree in finetuned.items()}
    first = {name: {'backbone': tree['backbone']} for name, tree in pretrained.items()}
    if lacking:
        backbone = first['params']['backbone']
        grafted = arithmetic.graft(backbone, tuned['params']['backbone'], lacking)
        first['params'] = {'backbone': grafted}
    if 'tuner' in tuned['params']:
        own = tuned['params']['tuner']
        first['params']['tuner'] = arithmetic.at_identity(own, model.method.identity)
    if 'tuner' in tuned['batch_stats']:
        first['batch_stats']['tuner'] = tuned['batch_stats']['tuner']
    arithmetic.same_form({'the pre-trained model': first, 'the fine-tuned model': tuned})
    return Ends(first, tuned, trees.part_of(finetuned, 'head'), tuple(lacking))


def _moving(tree: trees.Tree) -> trees.Tree:
    return {part: leaves for part, leaves in tree.items() if part in MOVES}


def models_along(
    ends: Ends,
    alphas: Sequence[float],
    statistics: str,
    reestimate: Callable[[Variables], Variables],
) -> Variables:
    """The models at `alphas` under the fine-tuned head: whole variables, leaves [A, ...].

    Args:
        ends: see there.
        alphas: numbers in 0..1.
        statistics: one of `batch_statistics.CHOICES`.
        reestimate: stacked variables to their statistics on training clouds.

    Raises:
        UserError: a number out of range, or an unknown choice of statistics.
    """
    path = arithmetic.along(ends.pretrained['params'], ends.finetuned['params'], alphas)
    head = jax.tree.map(lambda leaf: np.repeat(np.asarray(leaf)[None], len(alphas), 0), ends.head)
    weights = {**path, 'head': head['params']}
    own_head = {'head': head['batch_stats']} if head['batch_stats'] else {}
    mixed = arithmetic.along(ends.pretrained['batch_stats'], ends.finetuned['batch_stats'], alphas)
    found = batch_statistics.statistics_along(
        statistics,
        ends.pretrained['batch_stats'],
        ends.finetuned['batch_stats'],
        alphas,
        lambda: _moving(reestimate({'params': weights, 'batch_stats': {**mixed, **own_head}})),
    )
    return {'params': weights, 'batch_stats': {**found, **own_head}}
