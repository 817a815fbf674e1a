"""From a config to what it names: data, model, recipe."""

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import Mesh
from ml_collections import ConfigDict

from point_ft_jax.checkpoints.pretrained import load_pretrained
from point_ft_jax.core import plugins
from point_ft_jax.core.devices import make_mesh, say
from point_ft_jax.core.errors import UserError, raise_all, warn
from point_ft_jax.core.trees import Tree, Variables
from point_ft_jax.data import augment, teachers
from point_ft_jax.data.files import text_features
from point_ft_jax.data.files.channels import expand
from point_ft_jax.data.loader import load_dataset, option_problems
from point_ft_jax.data.split import FEW, Split, few_clouds, hold_out
from point_ft_jax.models import AutoencoderSpec, Model, ModelSpec, build, torch_names, zero_shot
from point_ft_jax.models.autoencoders.build import Autoencoder
from point_ft_jax.models.build import compute_type
from point_ft_jax.models.layers import Dtype
from point_ft_jax.models.recomputation import AUTO, MEMORY
from point_ft_jax.training import optimizer, schedules, starting_point
from point_ft_jax.training import step as train
from point_ft_jax.training.plan import batch_for
from point_ft_jax.training.tasks import kinds
from point_ft_jax.training.tasks.classification import classification
from point_ft_jax.training.tasks.task import Task


def load_splits(config: ConfigDict, classes: Sequence[str] | None = None) -> dict[str, Split]:
    """'train' and 'test' as the data plug-in gives them, and 'validation' held out of 'train'.

    With the names of the `classes` that a model knows, 'test' alone will do.

    Raises:
        UserError: an unknown plug-in, an option that it does not have or that is not set, or what
            the reader finds wrong with the data.
    """
    splits = read(config.data, classes=classes, fewest=config.points)
    if config.job == 'pretrain' and config.pretrain.teachers:
        splits['train'] = teachers.attach(splits['train'], config.pretrain.teachers)
    for split in splits.values():
        kinds.named(config.task).check(split, f'data set {config.data.name!r}')
    held_out = config.validation.fraction > 0 and not config.validation.get('folds', 0)
    if 'train' in splits and held_out and config.select == 'validation':
        splits['train'], splits['validation'] = hold_out(
            splits['train'], config.validation.fraction, config.validation.seed
        )
    return splits


def say_few(config: ConfigDict, splits: Mapping[str, Split]) -> None:
    """Says where some class has too few clouds held out to choose the epoch by, and what to do."""
    if 'validation' not in splits or not (few := few_clouds(splits['validation'])):
        return
    held, left = (
        np.bincount(splits[name].labels, minlength=len(splits[name].classes))
        for name in ('validation', 'train')
    )
    number = min(5, *(int(n) for n in held + left))
    if number > 1 and config.population == 1:
        advice = f'--config.validation.folds={number} chooses by all training clouds in turn'
    else:
        advice = 'a larger --config.validation.fraction holds out more'
    say(
        f'note: {len(splits["validation"])} clouds are held out to choose the epoch, of '
        f'{few} fewer than {FEW}: the choice is chancy; {advice}'
    )


def read(
    section: ConfigDict,
    flag: str = 'data',
    classes: Sequence[str] | None = None,
    fewest: int = 0,
) -> dict[str, Split]:
    """'train' and 'test' of a section that names a data plug-in and its options.

    Args:
        section: `config.data`, or another like it.
        flag: its name on the command line, for messages.
        classes: of a model, for which a test split alone will do.
        fewest: points that clouds of one's own keep at least, so that the model has enough.

    Raises:
        UserError: an unknown plug-in, an option that it does not have or that is not set, or what
            the reader finds wrong with the data.
    """
    options = {k: v for k, v in section.items() if k != 'name'}
    plugin = plugins.load('datasets', section.name)
    problems = option_problems(plugin, options, f'--config.{flag}.')
    raise_all(problems, f'data set {section.name!r}:')
    if 'fewest' in inspect.signature(plugin.load).parameters:
        options.setdefault('fewest', fewest)
    if classes is not None and hasattr(plugin, 'is_test_alone') and plugin.is_test_alone(**options):
        return {'test': plugin.load_test(classes, **options)}
    return load_dataset(section.name, **options)


def config_of(metadata: Mapping[str, Any], source: str) -> ConfigDict:
    """The config of a saved run, which says what data it was trained and tested on.

    Raises:
        UserError: the model in `source` was not trained by run.py.
    """
    if not isinstance(config := metadata.get('config'), Mapping):
        raise UserError(
            f'{source} keeps no config, so that it was not trained by run.py: say with --config=… '
            'what data to evaluate it on'
        )
    return ConfigDict(config)


def backbone_spec(config: ConfigDict, given: Mapping[str, str] | None = None) -> ModelSpec:
    """What backbone the config names, `given` by the dotted names of its fields changed already."""
    given = given or {}
    return ModelSpec(
        backbone=given.get('model.backbone', config.model.backbone),
        num_classes=1,
        variant=given.get('model.variant', config.model.variant),
        geometry=_plain(config.model.geometry),
    )


def model_spec(config: ConfigDict, num_classes: int, num_parts: int = 0) -> ModelSpec:
    """What model the config names; of a classifier `num_parts` says nothing."""
    return ModelSpec(
        backbone=config.model.backbone,
        num_classes=num_classes,
        variant=config.model.variant,
        method=config.method.name,
        method_options=_plain(config.method.options),
        trainable=tuple(config.method.trainable),
        num_parts=kinds.named(config.task).num_parts(num_parts),
        geometry={**_plain(config.model.geometry), 'memory': _memory(config)},
        readout=tuple(config.model.readout),
        head={'kind': 'text'} if _texts(config) else _plain(config.model.head),
        dtype=config.model.compute,
        batch_norm=config.batch_norm,
    )


def autoencoder_spec(config: ConfigDict, widths: Mapping[str, int]) -> AutoencoderSpec:
    """What pre-trains the config's backbone; `widths` are of teachers' features.

    Raises:
        UserError: points with more than x, y, z.
    """
    pretrain = config.pretrain
    if names := channels_of(config):
        raise UserError(
            f'data.channels has {", ".join(names)}, and an autoencoder hides and predicts x, y, z '
            'alone: pre-train without them, and widen the backbone when it is tuned'
        )
    return AutoencoderSpec(
        backbone=config.model.backbone,
        variant=config.model.variant,
        geometry={**_plain(config.model.geometry), 'memory': _memory(config)},
        options={
            'mask': pretrain.mask,
            'mask_ratio': pretrain.mask_ratio,
            **_plain(pretrain.decoder),
        },
        teachers=widths,
        contrast=pretrain.contrast,
        dtype=config.model.compute,
    )


def build_model(config: ConfigDict, num_classes: int, num_parts: int = 0) -> Model:
    """The model that the config names; what trains in it is `model.method.trainable`.

    Raises:
        UserError: an unknown name, option, type or treatment of batch norms.
    """
    model = build(model_spec(config, num_classes, num_parts))
    _check_channels(config, model)
    return model


def load_start(
    config: ConfigDict, model: Model | Autoencoder, seed: int, classes: Sequence[str] = ()
) -> tuple[Variables, str]:
    """The variables that a run starts from, and a line that says where they came from.

    Args:
        config: see `experiments.config`.
        model: what starts.
        seed: of what is drawn.
        classes: the class names, in the order of the logits; for a head of text features.

    Raises:
        UserError: the checkpoint or the text features are not set, missing, unreadable, or do not
            fit.
    """
    source = config.init.checkpoint
    if source is None:
        raise UserError(
            'this config starts from a pre-trained backbone: give --config.init.checkpoint=FILE, '
            'or an empty one for random weights'
        )
    variables, report = load_pretrained(model, source, seed=seed, head=config.init.head)
    what = 'autoencoder' if isinstance(model, Autoencoder) else 'backbone'
    origin = f'{source}: {report}' if report else f'random, from seed {seed}'
    head = '; its head too' if config.init.head else ''
    if _texts(config):
        variables['params']['head'] = _text_head(_texts(config), classes, model)
        head = f'; the head from {_texts(config)}'
    return variables, f'{what}: {origin}{head}'


def _texts(config: ConfigDict) -> str:
    """The file of text features that the head is made of; '' for a head of its own."""
    return config.init.get('text_features', '')


def _text_head(path: str, classes: Sequence[str], model: Model) -> Tree:
    """The head's parameters for the classes, each with the row of its name."""
    features, names = text_features.read(path)
    missing = [name for name in classes if name not in names]
    if missing:
        raise UserError(
            f'{path} has no text features of {", ".join(missing[:8])}; it has those of '
            f'{", ".join(names[:8])}: give one row a class of the data'
        )
    if features.shape[1] != (width := model.module.backbone.aligned_width):
        raise UserError(
            f'{path} has features of width {features.shape[1]}; the space of this backbone has '
            f'{width}: take them from the text tower that it was aligned with'
        )
    return zero_shot.text_head(features[[names.index(name) for name in classes]])


def task_of(config: ConfigDict, split: Split) -> Task:
    """What the model is trained for, on data like `split`."""
    kind = kinds.named(config.task)
    options = {'smoothing': config.train.smoothing, 'sampling': config.sampling}
    return kind.task(split, {name: options[name] for name in kind.options if name in options})


def outputs_of(config: ConfigDict, state: Mapping[str, np.ndarray]) -> int | None:
    """How many classes a fine-tuned PyTorch file tells apart; None if it has no such head."""
    if kinds.named(config.task).segments:
        return None
    built = build_model(config, 2)
    name = torch_names.torch_key('head/logits/bias', built.torch_names)
    found = torch_names.without_module(state).get(name)
    return None if found is None else len(found)


def with_batch_for(config: ConfigDict, clouds: int) -> ConfigDict:
    """The config with smaller batches where `clouds` are few; see `plan.batch_for`."""
    train = config.train
    steps = train.get('fewest_steps', 0)
    size = min(batch_for(clouds, train.batch_size, steps), clouds)
    if not steps or size == train.batch_size or size % make_mesh().size:
        return config
    say(
        f'batches of {size} in place of {train.batch_size}, since there are {clouds} training '
        f'clouds; --config.train.batch_size={train.batch_size} keeps them larger'
    )
    settled = config.copy_and_resolve_references()
    settled.train.batch_size = size
    return settled


def _warmup(asked: int, epochs: int) -> int:
    """The epochs of warm-up: one fewer than there are, with a warning, where more are asked for."""
    if asked < epochs:
        return asked
    warn(
        f'optim.warmup is {asked} and the schedule has {epochs} epochs: the warm-up takes '
        f'{epochs - 1} of them',
    )
    return epochs - 1


def make_recipe(
    config: ConfigDict,
    built: Model | Autoencoder,
    steps_per_epoch: int,
    mesh: Mesh,
    task: Task | None = None,
) -> train.Recipe:
    """The training step of a config; `task` is classification where nothing else is said.

    Raises:
        UserError: an unknown schedule or augmentation, or a `clip_percentile` or `l2_sp` out of
            range.
    """
    optim = config.optim
    epochs = optim.epochs or config.train.epochs
    warmup = _warmup(optim.warmup, epochs)
    schedule, faster_schedule = (
        schedules.make_schedule(
            optim.schedule,
            peak,
            epochs=epochs,
            warmup=warmup,
            steps_per_epoch=steps_per_epoch,
            final=optim.final_lr,
            initial=optim.initial_lr,
        )
        for peak in (optim.lr, optim.lr * optim.factor)
    )
    drawn = starting_point.PRETRAINED if optim.l2_sp else ()  # to its start, not to 0
    tx = optimizer.make(
        schedule,
        weight_decay=optim.weight_decay,
        clip=optim.clip or None,
        clip_percentile=optim.clip_percentile,
        steps=config.train.epochs * steps_per_epoch,
        faster=tuple(optim.faster),
        faster_schedule=faster_schedule,
        decay_faster=optim.decay_faster,
        undecayed=(*built.undecayed, *drawn),
        double_step=optim.double_step,
    )
    if optim.l2_sp:
        tx = optax.chain(starting_point.l2_sp(optim.l2_sp), tx)
    return train.Recipe(
        module=built.module,
        tx=tx,
        schedule=schedule,
        num_points=config.points,
        augment=augment.named(config.train.augment, channels_of(config)),
        mesh=mesh,
        task=task or classification(config.train.smoothing),
        ema=optim.ema,
        frozen_dtype=_frozen_dtype(config),
        momentum=_momentum(config.train.halve_momentum_every * steps_per_epoch),
    )


def _frozen_dtype(config: ConfigDict) -> Dtype | None:
    """What frozen kernels are stored in; float32 in runs of before there was a choice."""
    name = config.train.get('frozen_dtype', 'float32')
    if name == 'bfloat16' and config.model.compute != 'bfloat16':
        raise UserError(
            "train.frozen_dtype is 'bfloat16', which rounds the backbone's weights; it goes with "
            "model.compute='bfloat16', which does so anyway"
        )
    return compute_type(name)


def _check_channels(config: ConfigDict, built: Model) -> None:
    """Raises UserError if the data's points are not what the backbone takes."""
    names, backbone = channels_of(config), built.module.backbone
    takes = backbone.input_channels - 3
    if len(names) == takes or (not names and backbone.fill is not None):
        return
    known = ', '.join(('x', 'y', 'z', *names))
    more = f' and {takes} channels more' if takes else ' alone'
    raise UserError(
        f'the points of the data have {known}; {config.model.backbone} takes x, y, z{more}: change '
        f'data.channels, or set model.geometry.input_channels to {3 + len(names)}'
    )


def channels_of(config: ConfigDict) -> tuple[str, ...]:
    """The names of what the data's points have besides x, y, z."""
    return expand(config.data.get('channels', ()))


def _momentum(steps: int) -> schedules.Schedule | None:
    """By step, half as much after every `steps`, but a tenth at least; None for 0."""
    return (lambda step: jnp.maximum(0.5 ** (step // steps), 0.1)) if steps else None


def _memory(config: ConfigDict) -> str:
    """What is kept for the backward pass; 'auto' in runs of before there was a choice."""
    known = (AUTO, *MEMORY)
    if (memory := config.train.get('memory', AUTO)) not in known:
        raise UserError(f'train.memory is {memory!r}; expected one of {", ".join(known)}')
    return memory


def _plain(section: ConfigDict) -> dict[str, Any]:
    """The options of a section that are set."""
    return {k: v for k, v in section.to_dict().items() if v is not None}
