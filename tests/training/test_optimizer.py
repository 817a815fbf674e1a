"""The references' schedule and decay rule, by the figures that were measured on them."""

import heapq

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from point_ft_jax.core import trees
from point_ft_jax.core.errors import UserError
from point_ft_jax.training import optimizer, schedules

PAPER = {'epochs': 300, 'warmup': 10, 'steps_per_epoch': 71}


@pytest.mark.parametrize(
    ('epoch', 'lr'),
    [
        (0, 1e-6),
        (1, 1e-6),
        (2, 5.09e-5),
        (3, 1.008e-4),
        (10, 4.501e-4),
        (11, 4.98633e-4),
        (100, 3.775058e-4),
        (299, 1.0547e-6),
        (300, 1.01368e-6),
        (301, 1e-6),
    ],
)
def test_the_references_rate_by_epoch(epoch: int, lr: float) -> None:
    schedule = schedules.make_schedule('cosine_by_epoch', 5e-4, **PAPER)
    for step in (epoch * 71, epoch * 71 + 70):
        np.testing.assert_allclose(schedule(jnp.int32(step)), lr, rtol=2e-5)


def test_the_sane_schedule_peaks_after_warmup_and_ends_low() -> None:
    schedule = schedules.make_schedule(
        'cosine_by_step', 1e-3, epochs=10, warmup=2, steps_per_epoch=5
    )
    rates = [float(schedule(step)) for step in range(51)]
    assert max(rates) == rates[10] == pytest.approx(1e-3)
    assert rates[0] == pytest.approx(1e-6, rel=1e-4)
    assert rates[50] == pytest.approx(1e-6, rel=1e-4)


def test_an_unknown_schedule_is_said() -> None:
    with pytest.raises(UserError, match=r'no schedule .linear.; there are cosine_by_step'):
        schedules.make_schedule('linear', 1e-3, **PAPER)


def test_decay_spares_vectors_and_what_the_model_names_and_no_path_for_its_words() -> None:
    leaves = {
        'backbone/cls_token': (1, 1, 4),
        'backbone/cls_pos': (1, 1, 4),
        'backbone/tokenizer/first_0/kernel': (3, 4),
        'head/logits/kernel': (4, 2),
        'head/logits/bias': (2,),
        'head/norm_0/scale': (4,),
    }
    undecayed = ('backbone/cls_token',)
    decayed = {p for p, shape in leaves.items() if optimizer.decays(p, jnp.zeros(shape), undecayed)}
    assert decayed == {
        'backbone/cls_pos',
        'backbone/tokenizer/first_0/kernel',
        'head/logits/kernel',
    }


@pytest.mark.parametrize('faster', [(), ('head/*',)])
@pytest.mark.parametrize('double_step', [False, True])
def test_the_optimizer_spares_what_the_model_names(faster: tuple, double_step: bool) -> None:
    """In either group, and however often it steps: without gradients only decay moves a leaf."""
    tree = {
        'backbone': {'cls_token': jnp.ones((1, 1, 2)), 'tokenizer': {'kernel': jnp.ones((2, 2))}},
        'head': {'kernel': jnp.ones((2, 2)), 'spared': jnp.ones((2, 2)), 'bias': jnp.ones(2)},
    }
    tx = optimizer.make(
        optax.constant_schedule(0.1),
        weight_decay=0.5,
        clip=None,
        faster=faster,
        undecayed=('backbone/cls_token', 'head/spared'),
        double_step=double_step,
    )
    gradients = jax.tree.map(jnp.zeros_like, tree)
    updates, _ = tx.update(gradients, tx.init(tree), tree)
    moved = {path for path, leaf in trees.flatten(updates).items() if np.any(leaf)}
    assert moved == {'backbone/tokenizer/kernel', 'head/kernel'}


def test_holes_get_no_state_and_the_faster_group_learns_faster() -> None:
    tree = {
        'head': {'kernel': jnp.ones((2, 2))},
        'backbone': {'kernel': jnp.ones((2, 2)), 'w': None},
    }
    schedule, faster_schedule = (
        schedules.make_schedule('constant', peak, epochs=1, warmup=0, steps_per_epoch=1)
        for peak in (1e-2, 1e-1)
    )
    tx = optimizer.make(
        schedule,
        weight_decay=0.0,
        clip=None,
        faster=('head/*',),
        faster_schedule=faster_schedule,
        undecayed=(),
    )
    state = tx.init(tree)
    updates, _ = tx.update(tree, state, tree)
    np.testing.assert_allclose(
        updates['head']['kernel'], 10 * updates['backbone']['kernel'], rtol=1e-5
    )
    assert updates['backbone']['w'] is None
    assert sum(leaf.size for leaf in jax.tree.leaves(state) if leaf.ndim) == 2 * 8  # mu and nu


def test_decaying_the_faster_group_reaches_its_vectors() -> None:
    tree = {'head': {'bias': jnp.ones(2)}}
    schedule = schedules.make_schedule('constant', 1e-2, epochs=1, warmup=0, steps_per_epoch=1)
    zero = {'head': {'bias': jnp.zeros(2)}}
    for decay_faster, expected in ((False, 0.0), (True, -1e-2 * 0.5)):
        tx = optimizer.make(
            schedule,
            weight_decay=0.5,
            clip=None,
            faster=('head/*',),
            decay_faster=decay_faster,
            undecayed=(),
        )
        updates, _ = tx.update(zero, tx.init(tree), tree)
        np.testing.assert_allclose(updates['head']['bias'], expected, rtol=1e-6)


def test_packing_puts_the_vectors_of_a_group_end_to_end() -> None:
    shapes = {'a': (2,), 'b': (3, 1), 'c': (1,), 'd': (4,), 'e': ()}
    tree = {
        part: {
            name: jnp.arange(np.prod(shape, initial=1)).reshape(shape)
            for name, shape in shapes.items()
        }
        for part in ('head', 'tuner')
    }
    tree['tuner']['hole'] = None
    packed = optimizer.pack(tree, ['head/[ab]'])
    found = {group: {k: v.shape for k, v in leaves.items()} for group, leaves in packed.items()}
    others = {'head/e': (), 'tuner/b': (3, 1), 'tuner/e': ()}
    assert found == {
        'plain': {'vectors': (1 + 4 + 2 + 1 + 4,), **others},
        'faster': {'vectors': (2,), 'head/b': (3, 1)},
    }
    back = optimizer.unpack(jax.tree.map(lambda leaf: leaf + 1, packed), tree, ['head/[ab]'])
    jax.tree.map(lambda new, old: np.testing.assert_array_equal(new, old + 1), back, tree)
    assert back['tuner']['hole'] is None


@pytest.mark.parametrize('double_step', [False, True])
def test_packed_vectors_step_as_they_would_one_by_one(double_step: bool) -> None:
    r = np.random.default_rng(0)
    shapes = {
        'backbone': {'cls_token': (1, 1, 3), 'cls_pos': (1, 1, 3)},
        'tuner': {'gamma': (3,), 'beta': (3,), 'down': {'kernel': (3, 2), 'bias': (2,)}},
        'head': {'layer': {'kernel': (3, 4), 'bias': (4,)}},
    }
    tree, *gradients = (
        jax.tree.map(
            lambda s: jnp.asarray(r.normal(size=s)), shapes, is_leaf=lambda s: type(s) is tuple
        )
        for _ in range(5)
    )
    options = {'epochs': 9, 'warmup': 1, 'steps_per_epoch': 2}
    slow, fast = (schedules.make_schedule('cosine_by_step', p, **options) for p in (1e-2, 1e-1))
    tx = optimizer.make(
        slow,
        weight_decay=0.3,
        clip=0.5,
        faster=('head/*',),
        faster_schedule=fast,
        decay_faster=True,
        undecayed=('backbone/cls_token',),
        double_step=double_step,
    )
    groups = {
        'backbone': {'cls_token': 'bare', 'cls_pos': 'slow'},
        'tuner': {'gamma': 'bare', 'beta': 'bare', 'down': {'kernel': 'slow', 'bias': 'bare'}},
        'head': 'fast',
    }

    def adamw(schedule: schedules.Schedule, decay: float) -> optax.GradientTransformation:
        of_steps = (lambda n: schedule(n // 2)) if double_step else schedule
        return optax.adamw(of_steps, weight_decay=decay)

    kinds = {'slow': adamw(slow, 0.3), 'bare': adamw(slow, 0.0), 'fast': adamw(fast, 0.3)}
    plain, clip = optax.multi_transform(kinds, groups), optax.clip_by_global_norm(0.5)
    ours, state = tree, tx.init(tree)
    theirs, theirs_state = tree, plain.init(tree)
    for gradient in gradients:
        updates, state = tx.update(gradient, state, ours)
        ours = optax.apply_updates(ours, updates)
        clipped, _ = clip.update(gradient, clip.init(tree))
        for one in [gradient, clipped] if double_step else [clipped]:
            updates, theirs_state = plain.update(one, theirs_state, theirs)
            theirs = optax.apply_updates(theirs, updates)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7), ours, theirs)


def test_clipping_is_by_the_norm_of_what_trains() -> None:
    tree = {'head': {'kernel': jnp.full((2, 2), 50.0), 'frozen': None}}
    schedule = schedules.make_schedule('constant', 1.0, epochs=1, warmup=0, steps_per_epoch=1)
    tx = optimizer.make(schedule, weight_decay=0.0, clip=10.0, undecayed=())
    _, state = tx.update(tree, tx.init(tree), tree)
    # Adam's first moment is a tenth of the first gradient: of norm 100, clipped to 10.
    np.testing.assert_allclose(optax.tree.norm(optax.tree.get(state, 'mu')), 1.0, rtol=1e-5)


def two_heaps(norms: list[float], percentile: int) -> list[float]:
    """MaskPoint's bound of every step: the top of a heap of the lowest norms, by negatives."""
    low, high, bounds = [], [], []
    for count, norm in enumerate(norms):
        if len(low) < max(int(percentile / 100 * count), 1):
            heapq.heappush(low, -norm)
        else:
            heapq.heappush(high, norm)
        if high and high[0] < -low[0]:
            highest = -heapq.heapreplace(low, -high[0])
            heapq.heapreplace(high, highest)
        bounds.append(-low[0])
    return bounds


def test_clipping_by_percentile_is_that_of_two_heaps() -> None:
    norms = np.random.default_rng(0).lognormal(sigma=2, size=130).astype(np.float32)
    norms[40:50] = norms[3]  # equal ones, too
    tx = optimizer.clip_by_percentile(10, capacity=len(norms))
    direction = {'a': jnp.array([0.6, 0.0]), 'hole': None, 'b': jnp.array([[0.8]])}

    def step(state: optimizer.NormHistory, norm: jax.Array) -> tuple:
        updates, state = tx.update(jax.tree.map(lambda leaf: norm * leaf, direction), state)
        return state, optax.tree.norm(updates)

    state, found = jax.jit(lambda norms: jax.lax.scan(step, tx.init(direction), norms))(norms)
    expected = np.minimum(norms, two_heaps(norms.tolist(), 10))
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    np.testing.assert_allclose(state.norms, np.sort(norms), rtol=1e-6)
    assert int(state.count) == len(norms)


def test_a_history_that_is_full_forgets_the_largest() -> None:
    tx = optimizer.clip_by_percentile(50, capacity=2)
    state = tx.init({})
    for norm in (3.0, 1.0, 2.0):
        _, state = tx.update({'w': jnp.array([norm])}, state)
    np.testing.assert_allclose(state.norms, [1.0, 2.0])


def test_a_percentile_out_of_range_is_said() -> None:
    with pytest.raises(UserError, match='clip_percentile is 100; expected 1 to 99'):
        optimizer.clip_by_percentile(100, capacity=1)
