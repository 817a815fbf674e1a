"""Fine-tuning on arrays, in one call."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from tqdm.auto import tqdm

from point_ft_jax.checkpoints import record
from point_ft_jax.checkpoints.pretrained import load_pretrained
from point_ft_jax.core import plugins, trees
from point_ft_jax.core.devices import make_mesh
from point_ft_jax.core.errors import UserError, raise_all
from point_ft_jax.core.trees import Variables
from point_ft_jax.data import augment as augmentations
from point_ft_jax.data.likeness import measures
from point_ft_jax.data.split import FEW, Split, few_clouds, hold_out, require_split
from point_ft_jax.models import Model, ModelSpec, create_model
from point_ft_jax.models.build import known
from point_ft_jax.models.geometry import differences
from point_ft_jax.models.spec import Spec
from point_ft_jax.models.tuned import TunedModel
from point_ft_jax.training import optimizer, schedules
from point_ft_jax.training.fit import fit
from point_ft_jax.training.fitted import Fitted
from point_ft_jax.training.interrupt import Stopped
from point_ft_jax.training.plan import TrainingPlan, batch_for
from point_ft_jax.training.scoring import evaluate
from point_ft_jax.training.step import Recipe
from point_ft_jax.training.tasks import kinds

WARMUP, WEIGHT_DECAY, CLIP = 3, 0.05, 10.0  # epochs, decoupled decay, global norm
BATCH = 32


def finetune(
    data: Split,
    *,
    task: str | None = None,
    backbone: str | None = None,
    variant: str | None = None,
    method: str = 'dapt',
    method_options: Mapping[str, object] | None = None,
    checkpoint: str | None = None,
    geometry: Mapping[str, object] | None = None,
    validation: Split | float = 0.1,
    epochs: int = 20,
    batch_size: int | None = None,
    lr: float = 5e-4,
    augment: str = 'scale_translate',
    class_weights: Sequence[float] | str | None = None,
    patience: int | None = None,
    seed: int = 0,
    progress: bool = True,
) -> TunedModel:
    """A model fine-tuned on labelled clouds, at its best epoch on the validation clouds.

    AdamW, with a linear warm-up of three epochs and a cosine. Ctrl-C ends training and returns the
    best epoch so far.

    Args:
        data: the clouds; see `Split.from_arrays` and `load_dataset`.
        task: 'classification' of clouds or 'part_segmentation' of their points; by default the
            latter if `data` has part labels, as the embedded shapes have.
        backbone: see `create_model`; by default that of the checkpoint's own record, or 'recon'.
        variant: see `create_model`; by default that of the record, or 'tiny'.
        method: one of `available('methods')`, or several, as 'ssf+lora'.
        method_options: of the method, such as `{'rank': 8}`.
        checkpoint: what the backbone starts from: a .pth file, the folder of a run or
            'shipped:recon_tiny'; None for random weights.
        geometry: fields of the backbone that differ from the variant's, such as `num_groups`; what
            is not given is as the checkpoint was made, where it has a record: a run, what ships,
            and files that `point-ft export` wrote.
        validation: clouds to choose the epoch by, or the fraction (0 to 1) of every class that is
            held out of `data` for it.
        epochs: passes over the training clouds.
        batch_size: clouds in a step; at most the number of training clouds is used. By default 32,
            or fewer where that would leave an epoch with less than 8 steps.
        lr: the peak of the learning rate.
        augment: names of `data/augment.py`, joined by '+'; '' for none.
        class_weights: C numbers, what a cloud of each class counts in the loss, or 'balanced' for
            the inverse of the class's share of the clouds.
        patience: epochs without a better one after which training ends; None for never.
        seed: of the held-out clouds, the initial weights of tuner and head, and of training.
        progress: whether a bar shows epochs, loss and validation accuracy.

    Returns:
        The tuned model with its history and its scores on the validation clouds.

    Raises:
        UserError: an unknown name or option, a checkpoint or data that do not fit, or a loss that
            is not finite.
        KeyboardInterrupt: Ctrl-C before the first epoch has ended.

    Examples:
        >>> from point_ft_jax import finetune, load_dataset
        >>> train = load_dataset('shapes', num_points=64, train_size=60, test_size=15)['train']
        >>> tuned = finetune(
        ...     train, task='classification', method='linear_probe', epochs=1, batch_size=15,
        ...     geometry={'num_groups': 8, 'depth': 1}, progress=False,
        ... )
        >>> tuned.history[0]['epoch'], sorted(tuned.parameters)
        (1, ['backbone', 'head'])
    """
    require_split(data, 'data')
    _check_numbers(epochs, batch_size, lr, patience, seed)
    data = data.checked()
    kind = kinds.of_data(data) if task is None else kinds.named(task)
    kind.check(data)
    training, held_out = _splits(data, validation, seed)
    kind.check(held_out, 'the validation split')
    num_points = data.points.shape[1]
    made = record.read(checkpoint)
    backbone = backbone or (made.backbone if made else 'recon')
    if variant is None:
        variant = made.variant if made and made.backbone == backbone else 'tiny'
    fields = known(backbone, {'num_groups': min(64, num_points)})
    if made:
        fields |= _as_made(made, ModelSpec(backbone, 1, variant), num_points)
    model = create_model(
        backbone,
        len(data.classes),
        variant=variant,
        method=method,
        method_options={**(_as_pretrained(method) if made else {}), **(method_options or {})},
        num_parts=kind.num_parts(len(data.part_names)),
        geometry={**fields, **(geometry or {})},
    )
    variables, _ = load_pretrained(model, checkpoint, seed=seed)
    options = {} if class_weights is None else {'class_weights': _weights(class_weights, training)}
    batch_size = min(batch_size or batch_for(len(training), BATCH), len(training))
    steps = max(len(training) // batch_size, 1)
    move = augmentations.named(augment, data.channels)
    recipe = _recipe(model, kind.task(data, options), num_points, epochs, steps, lr, move)
    plan = TrainingPlan(epochs, batch_size, seed, patience=patience or 0, return_when_stopped=True)
    splits = {'train': training, 'validation': held_out}
    if progress and (few := few_clouds(held_out)):
        tqdm.write(
            f'note: the epoch is chosen by {len(held_out)} held-out clouds, of {few} fewer than '
            f'{FEW}: give more as validation, or compare settings by cross-validation '
            '(point_ft_jax.sklearn)'
        )
    fitted = _fit(recipe, variables, model, splits, plan, progress)
    metadata = {**training_metadata(training, num_points), 'checkpoint': checkpoint or ''}
    tuned = TunedModel(model, fitted.variables, metadata, fitted.history)
    scores = evaluate(tuned, held_out, batch_size=batch_size).scores()
    return TunedModel(model, fitted.variables, metadata, fitted.history, scores)


def _as_made(made: Spec, now: Spec, num_points: int) -> dict[str, object]:
    """The fields of a backbone that a checkpoint's record says, but no more groups than points."""
    fields = {name: then for name, (then, _) in differences(made, now).items()}
    if isinstance(groups := fields.get('num_groups'), int):
        fields['num_groups'] = min(groups, num_points)
    return fields


def _as_pretrained(method: str) -> Mapping[str, object]:
    """Options with which a method sees the backbone as it was pre-trained; of several none."""
    return {} if '+' in method else plugins.load('methods', method).METHOD.as_pretrained


def training_metadata(train: Split, num_points: int) -> dict[str, Any]:
    """The classes and the scale of training clouds, to check other clouds against."""
    return {
        'classes': list(train.classes),
        'part_names': list(train.part_names),
        'channels': list(train.channels),
        'points': num_points,
        **measures(train.points),
    }


def _check_numbers(
    epochs: int, batch_size: int | None, lr: float, patience: int | None, seed: int
) -> None:
    """Raises UserError for numbers that nothing can be trained with."""
    whole = {'epochs': (epochs, 1), 'seed': (seed, 0)}
    whole |= {} if batch_size is None else {'batch_size': (batch_size, 1)}
    whole |= {} if patience is None else {'patience': (patience, 0)}
    problems = [
        f'{name} is {value!r}; expected a whole number from {least} on'
        for name, (value, least) in whole.items()
        if not (isinstance(value, int | np.integer) and value >= least)
    ]
    if not (isinstance(lr, int | float | np.number) and 0 < lr < np.inf):
        problems.append(f'lr is {lr!r}; expected a number above 0')
    raise_all(problems, 'this cannot be trained:')


def _splits(data: Split, validation: Split | float, seed: int) -> tuple[Split, Split]:
    if not isinstance(validation, Split):
        return hold_out(data, validation, seed)
    if validation.channels != data.channels:
        names = (', '.join(('x', 'y', 'z', *split.channels)) for split in (validation, data))
        raise UserError('the validation clouds have {}; expected {}, as the data'.format(*names))
    if tuple(validation.classes) != tuple(data.classes):
        raise UserError(
            f'the validation clouds have the classes {", ".join(validation.classes[:4])}, …; '
            f'expected those of the data, {", ".join(data.classes[:4])}, …, in the same order'
        )
    validation = validation.checked()
    return data, validation


def _weights(given: Sequence[float] | str, train: Split) -> tuple[float, ...]:
    """What a cloud of each class counts."""
    count = len(train.classes)
    if isinstance(given, str):
        if given != 'balanced':
            raise UserError(f"class_weights is {given!r}; expected 'balanced' or {count} numbers")
        clouds = np.bincount(train.labels, minlength=count)
        return tuple((len(train) / (count * np.maximum(clouds, 1))).tolist())
    weights = np.asarray(given, float)
    if weights.shape != (count,) or not np.isfinite(weights).all() or (weights < 0).any():
        raise UserError(
            f'class_weights are {given}; expected {count} numbers, 0 or more, in the order of the '
            'classes'
        )
    return tuple(weights.tolist())


def _recipe(
    model: Model,
    task: Any,
    num_points: int,
    epochs: int,
    steps: int,
    lr: float,
    augment: augmentations.Augmentation,
) -> Recipe:
    warmup = min(WARMUP, epochs - 1)
    schedule = schedules.make_schedule(
        'cosine_by_step', lr, epochs=epochs, warmup=warmup, steps_per_epoch=steps
    )
    return Recipe(
        module=model.module,
        tx=optimizer.make(
            schedule, weight_decay=WEIGHT_DECAY, undecayed=model.undecayed, clip=CLIP
        ),
        schedule=schedule,
        num_points=num_points,
        augment=augment,
        mesh=make_mesh(),
        task=task,
    )


def _fit(
    recipe: Recipe,
    variables: Variables,
    model: Model,
    splits: Mapping[str, Split],
    plan: TrainingPlan,
    progress: bool,
) -> Fitted:
    trainable = trees.select(variables['params'], model.trainable)
    with tqdm(total=plan.epochs, unit='epoch', disable=not progress, desc='compiling') as bar:
        try:
            return fit(recipe, variables, trainable, splits, plan, show=_shown_by(bar))
        except Stopped:
            raise KeyboardInterrupt from None


def _shown_by(bar: tqdm) -> Callable[..., None]:
    """The function that `fit` calls, moving a bar."""

    def show(epoch: float, doing: str = '', **values: Any) -> None:
        bar.set_description(doing or 'training', refresh=bool(doing))
        known = {k: v for k, v in values.items() if v is not None and k in ('loss', 'accuracy')}
        words = {'validation ' * (k == 'accuracy') + k: f'{v:.4f}' for k, v in known.items()}
        bar.set_postfix(words, refresh=False)
        bar.update(epoch - bar.n)

    return show
