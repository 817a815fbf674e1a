"""What one model of the robust experiment is worth: a score for each cloud, by name.

'target/HEAD' and 'corrupted/HEAD/CORRUPTION' [S] bool, with HEAD 'own' or 'probed', along alpha
'validation/HEAD' and 'train/HEAD' besides; 'svm_raw/SET', 'svm/SET', 'neighbours/SET' [S] bool and
'few_shot/SET' [folds] for every transfer set, where there are several tasks
'few_shot_task/SET/TASK' besides; 'cad_to_scan' [S] bool. After adaptation 'adapted/NAME/target' [S]
bool, likewise 'adapted/NAME/corrupted/CORRUPTION', and 'adapted/plain/…' on the same clouds.
"""

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence

import flax.linen as nn
import jax
import numpy as np
from ml_collections import ConfigDict

from point_ft_jax.core import devices, trees
from point_ft_jax.core.devices import make_mesh
from point_ft_jax.core.errors import UserError
from point_ft_jax.core.trees import Variables
from point_ft_jax.data.shared_classes import only_shared
from point_ft_jax.data.split import Split
from point_ft_jax.evaluation import features, few_shot, neighbours
from point_ft_jax.evaluation.adaptation import make_adapted, needs_source
from point_ft_jax.evaluation.features import Extract
from point_ft_jax.evaluation.few_shot import Fold
from point_ft_jax.evaluation.linear_svm import chosen_svm
from point_ft_jax.experiments.jobs._robust_bench import Bench, Clouds, prepared
from point_ft_jax.experiments.jobs._robust_models import Compared
from point_ft_jax.training.probe import head_logits

Scores = dict[str, np.ndarray]
HEAD, TRANSFER = 'head', 'transfer'  # the two readouts of a pass
TESTED = ('target', 'corrupted')


@dataclasses.dataclass(frozen=True)
class TransferSet:
    """A set that no model was fine-tuned on.

    Attributes:
        clouds: 'train' and 'test'.
        tasks: name -> few-shot folds.
        classes: by label.
    """

    clouds: Mapping[str, Clouds]
    tasks: Mapping[str, Sequence[Fold]]
    classes: tuple[str, ...]


def make_transfer(config: ConfigDict, splits: Mapping[str, Split]) -> TransferSet:
    """A transfer set; of classes with few clouds, tasks have fewer ways, shots and queries."""
    labels = {name: split.labels for name, split in splits.items()}
    fewest = {name: int(np.bincount(y)[np.unique(y)].min()) for name, y in labels.items()}
    plan, tasks = config.few_shot, {}
    for ways in plan.ways:
        for shots in plan.shots:
            size = min(ways, len(np.unique(labels['train']))), min(shots, fewest['train'])
            tasks[f'{size[0]}-way {size[1]}-shot'] = few_shot.sample_folds(
                labels['train'],
                labels['test'],
                ways=size[0],
                shots=size[1],
                queries=min(plan.queries, fewest['test']),
                folds=plan.folds,
            )
    points = config.svm.points or config.points
    return TransferSet(
        {n: prepared(s, points) for n, s in splits.items()}, tasks, splits['train'].classes
    )


class Scorer:
    """Measures models of one setting and seed.

    A forward pass is most of the cost, and every cloud has one a model: what heads read and what
    the transfer scores do are read off the same tokens. Models go one after the other through one
    program: on CPUs several at once, `vmap`ped, take no less time.

    Args:
        config: of the experiment, its data being the setting's.
        bench: the target's clouds, and how heads are probed.
        transfer: the transfer sets by name.
        classes: the target's classes by label.
    """

    def __init__(
        self,
        config: ConfigDict,
        bench: Bench,
        transfer: Mapping[str, TransferSet],
        classes: Sequence[str],
    ) -> None:
        self._config, self._bench, self._transfer = config, bench, transfer
        self._classes = tuple(classes)

    def validation(self, one: Compared) -> float:
        """The accuracy on held-out target clouds."""
        return float(self._right(one, self._bench.target['validation']).mean())

    def target(self, one: Compared) -> np.ndarray:
        """[S] bool, which of the target's test clouds a model gets right."""
        return self._right(one, self._bench.target['test'])

    def probed(self, one: Compared, name: str) -> Compared:
        """The model with a head that was trained on its frozen features."""
        seen = self._read(one, self._bench.target['train'])[HEAD]
        return self._with_head(one, self._bench.probe(one.variables, seen, name))

    def transfer_scores(self, one: Compared) -> Scores:
        """The scores of the frozen features alone."""
        return self._transfer_scores(self._on_transfer(one))

    def scores(self, one: Compared, name: str, kept: Scores | None = None) -> Scores:
        """All scores of a model but those after adaptation.

        Args:
            one: the model.
            name: of the files that probing leaves.
            kept: its transfer scores, if they are known.
        """
        clouds = self._clouds()
        if not one.probed:  # its other clouds are not needed
            clouds = {n: c for n, c in clouds.items() if n.split('/')[0] in TESTED}
        seen = {place: self._read(one, own) for place, own in clouds.items()}
        heads = {'own': trees.part_of(one.variables, 'head')}
        if one.probed:
            heads['probed'] = self._bench.probe(one.variables, seen['train'][HEAD], name)
        found: Scores = {}
        for label, head in heads.items():
            for place, own in clouds.items():
                first, *rest = place.split('/')
                logits = _logits(one, head, seen[place][HEAD])
                found['/'.join([first, label, *rest])] = logits.argmax(-1) == own.labels
        read = self._on_transfer(one) if kept is None else {}
        found |= self._transfer_scores(read) if kept is None else kept
        if cad := self._config.robust.cad:
            models = read[cad]['train'] if read else None
            found['cad_to_scan'] = self._cad_to_scan(one, models, seen['target'].get(TRANSFER))
        return found

    def adapted(self, one: Compared, plain: Scores) -> Scores:
        """The target's and the corrupted clouds, as they are and after each adaptation.

        Args:
            one: the model, under the head to be measured.
            plain: its scores without adaptation, the head's name left out.
        """
        most, found = self._config.robust.adapted_clouds, {}
        clouds = {n: c for n, c in self._clouds().items() if n.split('/')[0] in TESTED}
        rows = {name: few(len(own.labels), most) for name, own in clouds.items()}
        few_of = {n: Clouds(c.points[rows[n]], c.labels[rows[n]]) for n, c in clouds.items()}
        for name in clouds:
            found[f'adapted/plain/{name}'] = plain[name][rows[name]]
        for adapt, options in self._config.robust.adapt.items():
            try:
                run = self._adapting(adapt, options.to_dict(), one)
                answers = {n: run(one.variables, c.points).argmax(-1) for n, c in few_of.items()}
            except UserError as error:  # it does not fit this model, or moved it too far
                devices.say(f'{adapt} is left out for a model: {error}')
                continue
            for name, own in few_of.items():
                found[f'adapted/{adapt}/{name}'] = answers[name] == own.labels
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

    def _read(self, one: Compared, clouds: Clouds) -> dict[str, np.ndarray]:
        """{HEAD: [S, F]} and, where they come from the same pass, {TRANSFER: [S, F]}."""
        readouts = {HEAD: one.model.module.readout}
        if self._one_pass(one):
            readouts[TRANSFER] = self._transfer_readout(one)
        return self._pass(one, one.model.module, readouts, clouds)

    def _read_transfer(self, one: Compared, clouds: Clouds) -> np.ndarray:
        """[S, F], what the transfer scores are of."""
        if self._one_pass(one):
            return self._read(one, clouds)[TRANSFER]
        module = features.reshaped(one.model.module, self._config.svm.geometry)
        return self._pass(one, module, {TRANSFER: self._transfer_readout(one)}, clouds)[TRANSFER]

    def _pass(
        self, one: Compared, module: nn.Module, readouts: Mapping[str, tuple], clouds: Clouds
    ) -> dict[str, np.ndarray]:
        extract = _extractor(module, self._config.wise.batch_size, tuple(readouts.items()))
        found = extract(features.stack(one.variables), clouds.points)
        return {name: value[0] for name, value in found.items()}

    def _one_pass(self, one: Compared) -> bool:
        """Whether the transfer scores are of the model as it is."""
        svm = self._config.svm
        as_it_is = features.reshaped(one.model.module, svm.geometry) == one.model.module
        return as_it_is and svm.points in (0, self._config.points)

    def _transfer_readout(self, one: Compared) -> tuple[str, ...]:
        return tuple(self._config.svm.readout) or one.model.module.readout

    def _right(self, one: Compared, clouds: Clouds) -> np.ndarray:
        logits = _logits(one, trees.part_of(one.variables, 'head'), self._read(one, clouds)[HEAD])
        return logits.argmax(-1) == clouds.labels

    def _with_head(self, one: Compared, head: Variables) -> Compared:
        variables = trees.with_part(one.variables, 'head', head)
        return dataclasses.replace(one, variables=variables, probed=False)

    def _on_transfer(self, one: Compared) -> dict[str, dict[str, np.ndarray]]:
        """{set: {'train' and 'test': [S, F]}}."""
        return {
            name: {part: self._read_transfer(one, own) for part, own in kept.clouds.items()}
            for name, kept in self._transfer.items()
        }

    def _transfer_scores(self, seen: Mapping[str, Mapping[str, np.ndarray]]) -> Scores:
        found: Scores = {}
        for name, kept in self._transfer.items():
            pairs = [(seen[name][part], kept.clouds[part].labels) for part in ('train', 'test')]
            found |= {f'{k}/{name}': v for k, v in self._frozen(*pairs).items()}
            tasks = {
                task: few_shot.probe_folds(pairs[0][0], pairs[1][0], folds)
                for task, folds in kept.tasks.items()
            }
            found[f'few_shot/{name}'] = np.concatenate(list(tasks.values()))
            if len(tasks) > 1:
                found |= {f'few_shot_task/{name}/{task}': v for task, v in tasks.items()}
        return found

    def _frozen(self, train: tuple, test: tuple) -> Scores:
        plan, svm = self._config.robust.svm, self._config.svm
        options = {'classifier': svm.classifier, 'folds': plan.folds}
        raw = tuple(plan.raw_cs) or (svm.c,)
        return {
            'svm_raw': chosen_svm(train, test, standardize=False, cs=raw, **options)[0],
            'svm': chosen_svm(train, test, cs=plan.cs, **options)[0],
            'neighbours': neighbours.answers(train, test, svm.neighbours) == test[1],
        }

    def _cad_to_scan(
        self, one: Compared, models: np.ndarray | None, scans: np.ndarray | None
    ) -> np.ndarray:
        """Whether an SVM fitted to CAD models knows the target's scans of the same classes."""
        plan, test = self._config.robust, self._bench.target['test']
        cad = self._transfer[plan.cad]
        if models is None:
            models = self._read_transfer(one, cad.clouds['train'])
        if scans is None:
            split = Split(test.points, test.labels, self._classes)
            scans = self._read_transfer(one, prepared(split, self._points()))
        pairs = (
            _of_shared(models, cad.clouds['train'].labels, cad.classes, plan.shared),
            _of_shared(scans, test.labels, self._classes, plan.shared),
        )
        return chosen_svm(*pairs, cs=plan.svm.cs, folds=plan.svm.folds)[0]

    def _points(self) -> int:
        return self._config.svm.points or self._config.points

    def _adapting(self, name: str, options: dict, one: Compared) -> Callable:
        """The adapting program; one that needs clouds of the source has the training clouds."""
        module, size = one.model.module, self._config.wise.batch_size
        plain = {k: tuple(v) if isinstance(v, list) else v for k, v in options.items()}
        if needs_source(name):
            source = self._bench.target['train'].points
            return make_adapted(name, module, make_mesh(), size, {**plain, 'source': source})
        return _adapter(name, module, size, tuple(plain.items()))


# Programs are made once a module: settings and seeds share them.
@functools.cache
def _extractor(module: nn.Module, size: int, readouts: tuple) -> Extract:
    return features.make_extract(module, make_mesh(), size, dict(readouts))


@functools.cache
def _adapter(name: str, module: nn.Module, size: int, options: tuple) -> Callable:
    return make_adapted(name, module, make_mesh(), size, dict(options))


def few(count: int, most: int) -> np.ndarray:
    """The rows of so many of `count` clouds, evenly chosen; 0 for all."""
    size = min(most or count, count)
    return np.linspace(0, count - 1, size).round().astype(int)


def _of_shared(
    seen: np.ndarray, labels: np.ndarray, classes: Sequence[str], shared: str
) -> tuple[np.ndarray, np.ndarray]:
    """Features and labels of the clouds whose classes are shared, as the shared classes count."""
    nowhere = np.zeros((len(labels), 1, 3), np.float32)
    split = Split(nowhere, labels, tuple(classes), features={'seen': seen})
    kept = only_shared(split, shared)
    return kept.features['seen'], kept.labels


def _logits(one: Compared, head: Variables, seen: np.ndarray) -> np.ndarray:
    """[S, C]: what a head says to what it reads."""
    stacked = jax.tree.map(lambda leaf: np.asarray(leaf)[None], head)
    return head_logits(one.model.module.head, stacked, seen[None])[0]
