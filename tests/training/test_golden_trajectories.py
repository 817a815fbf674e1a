"""Optimizer steps as the references take them: decay rule, clipping, statistics and all.

Full fine-tuning, tuning, pre-training and segmentation, in float64. An undecayed tokenizer moves
Point-BERT's last loss by no more than 5e-7 of it: hence the tolerances.
"""

import functools
from collections.abc import Callable

import golden_models as g
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from point_ft_jax.core import trees
from point_ft_jax.models import AutoencoderSpec, build, create_model, torch_names
from point_ft_jax.models.autoencoders.build import Autoencoder
from point_ft_jax.models.model import Model
from point_ft_jax.training import optimizer
from point_ft_jax.training.losses import cross_entropy
from point_ft_jax.training.tasks import reconstruction

LONG = ('dapt', 'recon')  # six steps of eight clouds of 2,048 points; the others: see the README
PRETRAINING = {
    'pre_point_mae': ('point_mae', {'num_groups': 64}, {}),
    'pre_m2ae': ('point_m2ae', {'num_groups': (256, 128, 32), 'group_sizes': (16, 8, 8)}, {}),
    'pre_recon': ('recon_two_stream', {'num_groups': 64}, {'image': 768, 'text': 512}),
}
GEOMETRY = {
    'point_mae': {'num_groups': 64},
    'point_bert': {'num_groups': 64},
    'act': {'num_groups': 48},
    'm2ae_scan': {'num_groups': (256, 128, 32), 'group_sizes': (16, 8, 8)},
}
# The relative error of a loss. Rounding alone makes 1e-7 of these by the fifth step, and nothing
# that can be measured of the others.
LOSS = {'dapt': 1e-3, 'recon': 1e-3, 'point_mae': 1e-6, 'act': 1e-6, 'm2ae_scan': 1e-6}
CLOSE = 1e-7
EVERY_RUN = ('act',)
NAMES = (*LONG, *GEOMETRY, 'seg_point_mae', *PRETRAINING)
ALL = [pytest.param(n, marks=() if n in EVERY_RUN else pytest.mark.slow) for n in NAMES]


@pytest.mark.slow
@pytest.mark.parametrize('name', LONG)
def test_the_first_steps_in_float32(name: str) -> None:
    facts, _ = g.read(f'traj_{name}_s3')
    losses, _, _ = follow(name, facts, 'float32', steps=3)
    np.testing.assert_allclose(losses, facts['losses'][:3], rtol=1e-3)


@pytest.mark.parametrize('name', ALL)
def test_all_steps_in_float64(name: str) -> None:
    facts, _ = g.read(f'traj_{name}_s3')
    with jax.enable_x64(True):
        losses, norms, outputs = follow(name, facts, 'float64', facts['steps'])
    tolerance = LOSS.get(name, CLOSE)
    np.testing.assert_allclose(losses, facts['losses'], rtol=tolerance)
    np.testing.assert_allclose(norms, facts['gradient_norms'], rtol=max(tolerance, 1e-5))
    for kind, found in outputs.items():
        expected = np.array(facts[kind])
        assert np.abs(found - expected).max() < 10 * tolerance * np.abs(expected).max(), kind


def follow(
    name: str, facts: dict, dtype: str, steps: int
) -> tuple[list[float], list[float], dict[str, np.ndarray]]:
    """Losses, gradient norms, and by their names in the fixture the outputs after the last step."""
    built = made(name)
    tree = start(name, built, facts['seed'], dtype)
    chosen = trees.select(tree['params'], built.trainable)
    moving, frozen = trees.partition(tree['params'], chosen)
    assert trees.count(moving) == facts['trainable_parameters']
    names = torch_names.export_variables({'x': trees.prune(moving)}, built.torch_names, built.conv)
    assert set(names) == set(facts['trainable'])
    tx = optimizer.make(
        optax.constant_schedule(facts['lr']),
        weight_decay=facts['weight_decay'],
        clip=facts['clip'],
        undecayed=built.undecayed,
    )
    statistics, state = tree['batch_stats'], tx.init(moving)
    step = jax.jit(functools.partial(one_step, kind(name)[1], built.module, tx))
    losses, norms = [], []
    for index in range(steps):
        seed = facts['seed'] * 1000 + index
        points = g.clouds(facts['batch'], facts['points'], seed).astype(dtype)
        targets = kind(name)[0](facts, index)
        moving, statistics, state, loss, norm = step(
            moving, frozen, statistics, state, points, targets
        )
        losses.append(float(loss))
        norms.append(float(norm))
    variables = {'params': trees.combine(moving, frozen), 'batch_stats': statistics}
    return losses, norms, evaluated(built, variables, facts) if steps == facts['steps'] else {}


def made(name: str) -> Model | Autoencoder:
    """The model of a fixture, without dropout."""
    if name in PRETRAINING:
        backbone, geometry, teachers = PRETRAINING[name]
        return build(AutoencoderSpec(backbone, geometry=geometry, teachers=teachers))
    if name not in GEOMETRY:
        return g.model(name)
    backbone, method, options = g.MODELS[name]
    options = {'num_classes': 15, **options, 'geometry': GEOMETRY[name]}
    return create_model(backbone, method=method, head={'dropout': 0.0}, **options)


def start(name: str, built: Model | Autoencoder, seed: int, dtype: str) -> dict[str, trees.Tree]:
    """The fixture's weights; the names are those of the fixture of one pass."""
    keys, _ = g.read(f'{name}_s1')
    state = {key: g.weight(key, shape, seed) for key, shape in keys['state_dict']}
    tree, report = built.load_all(built.shapes(), state, name)
    assert report.new == ()
    return jax.tree.map(lambda leaf: jnp.asarray(leaf, dtype), tree)


def evaluated(built: Model | Autoencoder, variables: dict, facts: dict) -> dict[str, np.ndarray]:
    """What the fixture has of an evaluation after the last step, by its names."""
    seed = facts['seed'] * 1000
    if 'eval_logits' in facts:
        size = (4, facts['points'])
        points = g.clouds(*size, seed).astype(jax.tree.leaves(variables)[0].dtype)
        return {'eval_logits': np.asarray(jax.jit(built.module.apply)(variables, points))}
    if 'eval_log_probs_first8' in facts:
        points = g.clouds(1, facts['points'], seed).astype('float64')
        logits = jax.jit(built.module.apply)(variables, points, jnp.zeros(1, jnp.int32))
        return {'eval_log_probs_first8': np.asarray(jax.nn.log_softmax(logits))[0, :8]}
    return {}


def kind(name: str) -> tuple[Callable, Callable]:
    """(facts, step) to a step's targets; (module, variables, points, targets) to its loss."""
    if name in PRETRAINING:
        return masks, reconstruction_loss
    return (parts, part_loss) if name in g.SEGMENTERS else (labels, label_loss)


def labels(facts: dict, step: int) -> np.ndarray:
    classes = len(facts['eval_logits'][0])
    r = np.random.default_rng([facts['seed'], step, 11])
    return r.integers(0, classes, facts['batch'])


def label_loss(module: object, variables: dict, points: jax.Array, targets: jax.Array) -> tuple:
    logits, updates = trained(module, variables, points)
    return jnp.mean(cross_entropy(logits, targets)), updates['batch_stats']


def parts(facts: dict, step: int) -> tuple[np.ndarray, np.ndarray]:
    r = np.random.default_rng([facts['seed'], step, 11])
    categories = r.integers(0, 16, facts['batch'])
    return categories, r.integers(0, 50, (facts['batch'], facts['points']))


def part_loss(module: object, variables: dict, points: jax.Array, targets: tuple) -> tuple:
    categories, wanted = targets
    logits, updates = trained(module, variables, points, categories)
    found = jnp.take_along_axis(jax.nn.log_softmax(logits), wanted[..., None], -1)
    return -found.mean(), updates['batch_stats']


def masks(facts: dict, step: int) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    hidden = facts['masked'][step]
    _, geometry, teachers = PRETRAINING[facts['model']]
    mask = np.zeros((facts['batch'], np.atleast_1d(geometry['num_groups'])[-1]), bool)
    for row, indices in zip(mask, hidden, strict=True):
        row[indices] = True
    r = np.random.default_rng([facts['seed'], step, 13])
    return mask, {n: r.standard_normal((facts['batch'], width)) for n, width in teachers.items()}


def reconstruction_loss(
    module: object, variables: dict, points: jax.Array, targets: tuple
) -> tuple:
    mask, features = targets
    found, updates = trained(module, variables, points, mask=mask)
    return sum(reconstruction.losses(found, features).values()), updates['batch_stats']


def trained(module: object, variables: dict, *inputs: jax.Array, **options: object) -> tuple:
    return module.apply(
        variables,
        *inputs,
        **options,
        train=True,
        mutable=['batch_stats'],
        rngs={'dropout': jax.random.key(0)},
    )


def one_step(
    loss: Callable,
    module: object,
    tx: optax.GradientTransformation,
    moving: trees.Tree,
    frozen: trees.Tree,
    statistics: trees.Tree,
    state: optax.OptState,
    points: jax.Array,
    targets: object,
) -> tuple:
    def value(moving: trees.Tree) -> tuple:
        variables = {'params': trees.combine(moving, frozen), 'batch_stats': statistics}
        return loss(module, variables, points, targets)

    (found, statistics), gradients = jax.value_and_grad(value, has_aux=True)(moving)
    updates, state = tx.update(gradients, state, moving)
    norm = optax.tree.norm(gradients)
    return optax.apply_updates(moving, updates), statistics, state, found, norm
