"""WiSE-FT and WiSE-FT-LP: the models between a pre-trained and a fine-tuned one, and their worth.

WiSE-FT (Wortsman et al., CVPR 2022, arXiv 2109.01903) interpolates weights; for point clouds the
head has no pre-trained counterpart, so that only the backbone moves, under the fine-tuned head.
WiSE-FT-LP (Zhang et al., 2024, arXiv 2404.16422) then freezes the backbone and trains the head on.
Here alphas are measured together: one forward pass `vmap`ped over the models, every set of clouds
once. Knows no config; the experiment is `wise_experiment`.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence

import flax.linen as nn
import jax
import numpy as np

from point_ft_jax.core import trees
from point_ft_jax.core.trees import Variables
from point_ft_jax.evaluation import few_shot
from point_ft_jax.evaluation.features import Extract
from point_ft_jax.evaluation.few_shot import Fold
from point_ft_jax.evaluation.linear_svm import linear_svm
from point_ft_jax.evaluation.neighbours import neighbour_accuracy
from point_ft_jax.models.model import Model
from point_ft_jax.training.probe import head_logits
from point_ft_jax.weight_space import arithmetic, batch_statistics

MOVES = ('backbone', 'tuner')  # what is interpolated; the head is not
HEAD, SVM = 'head', 'svm'  # the two readouts of a pass


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
    built: Model, pretrained: Variables, finetuned: Variables, lacking: Sequence[str] = ()
) -> Ends:
    """The ends of the path from `pretrained` to `finetuned`.

    Args:
        built: the model of both.
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
        first['params']['tuner'] = arithmetic.at_identity(own, built.method.identity)
    if 'tuner' in tuned['batch_stats']:
        first['batch_stats']['tuner'] = tuned['batch_stats']['tuner']
    arithmetic.same_form({'the pre-trained model': first, 'the fine-tuned model': tuned})
    head = {name: tree.get('head', {}) for name, tree in finetuned.items()}
    return Ends(first, tuned, head, tuple(lacking))


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


@dataclasses.dataclass(frozen=True)
class Clouds:
    """Labelled clouds as a model is tested on them: points [S, n, 3], labels [S]."""

    points: np.ndarray
    labels: np.ndarray


@dataclasses.dataclass(frozen=True)
class Bench:
    """What the models are measured on and with.

    Attributes:
        target: 'train', 'validation' and 'test' of the data that was fine-tuned on.
        corrupted: corruption -> severity -> the target's test clouds corrupted.
        source: 'train' and 'test' of the other distribution, for SVM, neighbours and few shots.
        folds: name -> few-shot folds on the source.
        target_features: extracts HEAD; source_features: extracts SVM.
        head: the module of the head.
        probe: (stacked variables, HEAD features of the training clouds [A, S, F], alphas) to heads
            trained on them, leaves [A, ...].
        svm: keywords of `linear_svm`.
        neighbours: how many.
    """

    target: Mapping[str, Clouds]
    corrupted: Mapping[str, Mapping[int, Clouds]]
    source: Mapping[str, Clouds]
    folds: Mapping[str, Sequence[Fold]]
    target_features: Extract
    source_features: Extract
    head: nn.Module
    probe: Callable[[Variables, np.ndarray, Sequence[float]], Variables]
    svm: Mapping[str, object]
    neighbours: int


def measure(models: Variables, alphas: Sequence[float], bench: Bench, brief: bool = False) -> list:
    """What each of the models at `alphas` is worth; accuracies are fractions.

    Args:
        models: see `models_along`.
        alphas: their numbers, for the result.
        bench: what to measure on.
        brief: only the target's test clouds, without probing: to compare statistics.

    Returns:
        A dict an alpha: 'alpha'; 'wise' and 'wise_lp', each with 'validation', 'test' and
        'corrupted' {corruption: {severity: accuracy}}; 'svm'; 'neighbours'; 'few_shot' {name: an
        accuracy a fold}.
    """
    heads = {'wise': _head(models)}
    sets = {'test': bench.target['test']}
    if not brief:
        sets['validation'] = bench.target['validation']
        seen = bench.target_features(models, bench.target['train'].points)[HEAD]
        heads['wise_lp'] = bench.probe(models, seen, alphas)
        sets |= {
            (name, severity): clouds
            for name, levels in bench.corrupted.items()
            for severity, clouds in levels.items()
        }
    right: dict = {kind: {} for kind in heads}
    for name, clouds in sets.items():
        features = bench.target_features(models, clouds.points)[HEAD]
        for kind, head in heads.items():
            guesses = head_logits(bench.head, head, features).argmax(-1)
            right[kind][name] = (guesses == clouds.labels[None]).mean(-1)
    worth = {} if brief else _source(models, bench)
    return [
        {
            'alpha': float(alpha),
            **{kind: _of_one(found, i) for kind, found in right.items()},
            **{name: jax.tree.map(lambda a, i=i: a[i].tolist(), v) for name, v in worth.items()},
        }
        for i, alpha in enumerate(alphas)
    ]


def _head(models: Variables) -> Variables:
    """The heads' own variables."""
    return {name: tree.get('head', {}) for name, tree in models.items()}


def _of_one(found: Mapping, i: int) -> dict:
    """The accuracies of model `i`: sets by name, corrupted ones by corruption and severity."""
    corrupted: dict[str, dict[str, float]] = {}
    plain = {}
    for name, accuracies in found.items():
        if isinstance(name, tuple):
            corrupted.setdefault(name[0], {})[str(name[1])] = float(accuracies[i])
        else:
            plain[name] = float(accuracies[i])
    return {**plain, 'corrupted': corrupted}


def _source(models: Variables, bench: Bench) -> dict:
    """'svm', 'neighbours' [A] and 'few_shot' {name: [A, folds]} on the source."""
    features = {
        name: bench.source_features(models, clouds.points)[SVM]
        for name, clouds in bench.source.items()
    }
    labels = {name: clouds.labels for name, clouds in bench.source.items()}
    pairs = [
        ((train, labels['train']), (test, labels['test']))
        for train, test in zip(features['train'], features['test'], strict=True)
    ]
    return {
        'svm': np.array([linear_svm(*pair, **bench.svm) for pair in pairs]),
        'neighbours': np.array([neighbour_accuracy(*pair, bench.neighbours) for pair in pairs]),
        'few_shot': {
            name: few_shot.probe_folds(features['train'], features['test'], folds)
            for name, folds in bench.folds.items()
        },
    }


def together(ends: Ends, budget_bytes: int) -> int:
    """How many models may be held at once, by the bytes of their weights; at least one."""
    return max(1, budget_bytes // max(trees.size_bytes(ends.finetuned['params']), 1))


def best_alpha(curve: Sequence[Mapping], kind: str) -> int:
    """The place in a curve that held-out clouds choose for 'wise' or 'wise_lp'.

    The best validation accuracy; among equals the smallest alpha, the nearest to the pre-trained.
    """
    best = max(point[kind]['validation'] for point in curve)
    return next(i for i, point in enumerate(curve) if point[kind]['validation'] == best)
