"""What one model of the robust experiment is worth: a score for each cloud, by name.

'target/HEAD', 'validation/HEAD', 'train/HEAD' and 'corrupted/HEAD/CORRUPTION' [S] bool, with HEAD
'own' or 'probed'; 'svm_raw/SET', 'svm/SET', 'neighbours/SET' [S] bool and 'few_shot/SET' [folds]
for every transfer set; 'cad_to_scan' [S] bool; 'adapted/NAME/HEAD/target' [S] bool and likewise
'adapted/NAME/HEAD/corrupted/CORRUPTION', and 'adapted/plain/…' on the same clouds.
"""

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence

import flax.linen as nn
import jax
import numpy as np
from ml_collections import ConfigDict

from point_ft_jax.core.devices import make_mesh
from point_ft_jax.core.errors import UserError
from point_ft_jax.core.trees import Variables
from point_ft_jax.data.shared_classes import SHARED, only_shared
from point_ft_jax.data.split import Split
from point_ft_jax.evaluation import features, few_shot, inference, neighbours
from point_ft_jax.evaluation.adaptation import make_adapted
from point_ft_jax.evaluation.features import Extract
from point_ft_jax.evaluation.few_shot import Fold
from point_ft_jax.evaluation.linear_svm import chosen_svm
from point_ft_jax.experiments.jobs._robust_models import Compared
from point_ft_jax.models.model import Model
from point_ft_jax.training.probe import head_logits
from point_ft_jax.weight_space.wise import HEAD, SVM, Bench, Clouds

Scores = dict[str, np.ndarray]


@dataclasses.dataclass(frozen=True)
class Transfer:
    """A set that no model was fine-tuned on: 'train' and 'test' clouds, and few-shot folds."""

    clouds: Mapping[str, Clouds]
    folds: Sequence[Fold]


def make_transfer(config: ConfigDict, splits: Mapping[str, Split]) -> Transfer:
    """A transfer set; of classes with few clouds, folds have fewer shots and queries."""
    points = config.svm.points or config.points
    clouds = {n: Clouds(inference.prepare(s.points, points), s.labels) for n, s in splits.items()}
    fewest = [int(np.bincount(s.labels)[np.unique(s.labels)].min()) for s in splits.values()]
    plan = config.few_shot
    folds = few_shot.sample_folds(
        splits['train'].labels,
        splits['test'].labels,
        ways=min(plan.ways[0], len(np.unique(splits['train'].labels))),
        shots=min(plan.shots[0], fewest[0]),
        queries=min(plan.queries, fewest[1]),
        folds=plan.folds,
    )
    return Transfer(clouds, folds)


class Scorer:
    """Measures models of one setting and seed.

    Args:
        config: of the experiment, its data being the setting's.
        bench: the target's clouds, and how heads are probed.
        transfer: the transfer sets by name.
        cad: CAD clouds of the classes that they share with the target; None for no such score.
        classes: the target's classes by label.
    """

    def __init__(
        self,
        config: ConfigDict,
        bench: Bench,
        transfer: Mapping[str, Transfer],
        cad: Split | None,
        classes: Sequence[str],
    ) -> None:
        self._config, self._bench, self._transfer = config, bench, transfer
        self._cad, self._classes = cad, tuple(classes)

    def validation(self, model: Model, variables: Variables) -> float:
        """The accuracy on held-out target clouds."""
        clouds = self._bench.target['validation']
        return float(np.mean(self._logits(model, variables, clouds).argmax(-1) == clouds.labels))

    def transfer_scores(self, one: Compared) -> Scores:
        """The scores of the frozen features alone."""
        found: Scores = {}
        for name, kept in self._transfer.items():
            found |= {f'{k}/{name}': v for k, v in self._on_set(one, kept).items()}
        return found

    def scores(self, one: Compared) -> Scores:
        """All scores of a model."""
        seen = {name: self._features(one, clouds) for name, clouds in self._clouds().items()}
        heads = {'own': _head(one.variables)}
        if one.probed:
            heads['probed'] = self._probed(one, seen['train'])
        found: Scores = {}
        for label, head in heads.items():
            for name, clouds in self._clouds().items():
                logits = head_logits(one.model.module.head, _stacked(head), seen[name][None])[0]
                place = name.split('/')
                key = '/'.join([place[0], label, *place[1:]])
                found[key] = logits.argmax(-1) == clouds.labels
        found |= self.transfer_scores(one)
        if self._cad is not None:
            found['cad_to_scan'] = self._cad_to_scan(one)
        for label, head in heads.items():
            found |= self._adapted(one.model, _with_head(one.variables, head), label)
        return found

    def _clouds(self) -> dict[str, Clouds]:
        """Everything that the target's heads answer, by name."""
        target = {'target' if n == 'test' else n: c for n, c in self._bench.target.items()}
        corrupted = {
            f'corrupted/{name}_{severity}': clouds
            for name, levels in self._bench.corrupted.items()
            for severity, clouds in levels.items()
        }
        return {**target, **corrupted}

    def _features(self, one: Compared, clouds: Clouds, readout: str = HEAD) -> np.ndarray:
        """[S, F]: what the head reads, or what the transfer scores do."""
        module, names = one.model.module, one.model.module.readout
        if readout == SVM:
            names = tuple(self._config.svm.readout) or names
            module = features.reshaped(module, self._config.svm.geometry)
        extract = _extractor(module, self._config.wise.batch_size, readout, names)
        return extract(features.stack(one.variables), clouds.points)[readout][0]

    def _logits(self, model: Model, variables: Variables, clouds: Clouds) -> np.ndarray:
        seen = self._features(Compared(model, variables), clouds)
        return head_logits(model.module.head, _stacked(_head(variables)), seen[None])[0]

    def _probed(self, one: Compared, seen: np.ndarray) -> Variables:
        """The head trained on the frozen features."""
        heads = self._bench.probe(_stacked(one.variables), seen[None], (0.0,))
        return jax.tree.map(lambda leaf: np.asarray(leaf)[0], heads)

    def _on_set(self, one: Compared, kept: Transfer) -> Scores:
        train, test = (
            (self._features(one, kept.clouds[n], SVM), kept.clouds[n].labels)
            for n in ('train', 'test')
        )
        plan = self._config.robust.svm
        options = {'classifier': self._config.svm.classifier, 'folds': plan.folds}
        return {
            'svm_raw': chosen_svm(train, test, standardize=False, cs=plan.raw_cs, **options)[0],
            'svm': chosen_svm(train, test, cs=plan.cs, **options)[0],
            'neighbours': neighbours.answers(train, test, self._config.svm.neighbours) == test[1],
            'few_shot': few_shot.probe_folds(train[0], test[0], kept.folds),
        }

    def _cad_to_scan(self, one: Compared) -> np.ndarray:
        """Whether an SVM fitted to CAD clouds knows the target's scans of the same classes."""
        test = self._bench.target['test']
        scans = Split(test.points, test.labels, self._classes)
        scans = only_shared(scans, self._config.robust.shared)
        points = self._config.svm.points or self._config.points
        cad = Clouds(inference.prepare(self._cad.points, points), self._cad.labels)
        pairs = [
            (self._features(one, clouds, SVM), clouds.labels)
            for clouds in (cad, Clouds(scans.points, scans.labels))
        ]
        plan = self._config.robust.svm
        return chosen_svm(*pairs, cs=plan.cs, folds=plan.folds)[0]

    def _adapted(self, model: Model, variables: Variables, label: str) -> Scores:
        """Target and corrupted clouds without adaptation and with each."""
        found: Scores = {}
        plans = self._config.robust.adapt
        if not plans:
            return found
        most = self._config.robust.adapted_clouds
        clouds = {n: c for n, c in self._clouds().items() if n.split('/')[0] in ADAPTED}
        clouds = {n: _some(c, most) for n, c in clouds.items()}
        for name, kept in clouds.items():
            logits = self._logits(model, variables, kept)
            found[f'adapted/plain/{label}/{name}'] = logits.argmax(-1) == kept.labels
        for adapt, options in plans.items():
            try:
                run = self._adapting(adapt, options.to_dict(), model)
                answers = {n: run(variables, c.points).argmax(-1) for n, c in clouds.items()}
            except UserError:
                continue  # the adaptation does not fit this model
            for name, kept in clouds.items():
                found[f'adapted/{adapt}/{label}/{name}'] = answers[name] == kept.labels
        return found

    def _adapting(self, name: str, options: dict, model: Model) -> Callable:
        """The adapting program."""
        plain = tuple((k, tuple(v) if isinstance(v, list) else v) for k, v in options.items())
        return _adapter(name, model.module, self._config.wise.batch_size, plain)


# Programs are made once a module: settings and seeds share them.
@functools.cache
def _extractor(module: nn.Module, size: int, name: str, readout: tuple[str, ...]) -> Extract:
    return features.make_extract(module, make_mesh(), size, {name: readout})


@functools.cache
def _adapter(name: str, module: nn.Module, size: int, options: tuple) -> Callable:
    return make_adapted(name, module, make_mesh(), size, dict(options))


ADAPTED = ('target', 'corrupted')


def shared_cad(config: ConfigDict) -> str:
    """The shared classes of the shift from CAD to scans, checked; '' for no such score."""
    shared = config.robust.shared
    if shared and shared not in SHARED:
        raise UserError(
            f'robust.shared is {shared!r}; expected one of {", ".join(SHARED)}, or none'
        )
    return shared


def _some(clouds: Clouds, most: int) -> Clouds:
    """So many of the clouds, evenly chosen; 0 for all."""
    if not most or most >= len(clouds.labels):
        return clouds
    rows = np.linspace(0, len(clouds.labels) - 1, most).round().astype(int)
    return Clouds(clouds.points[rows], clouds.labels[rows])


def _head(variables: Variables) -> Variables:
    return {name: tree.get('head', {}) for name, tree in variables.items()}


def _with_head(variables: Variables, head: Variables) -> Variables:
    return {
        name: {**tree, **({'head': head[name]} if head.get(name) else {})}
        for name, tree in variables.items()
    }


def _stacked(tree: Variables) -> Variables:
    return jax.tree.map(lambda leaf: np.asarray(leaf)[None], tree)
