"""Every tuning method on every backbone: what trains, what it costs, what it leaves alone."""

import functools
from collections.abc import Callable

import jax
import numpy as np
import pytest
from small_methods import (
    BACKBONES,
    COLOURED,
    FAST,
    LABELS,
    MERGEABLE,
    METHODS,
    ONE_LEVEL,
    POINTS,
    RARE,
    WITHOUT_CLS,
    disturbed,
    fits,
    fresh,
    same,
    small,
)

from point_ft_jax.core import trees
from point_ft_jax.core.errors import UserError
from point_ft_jax.methods import merge
from point_ft_jax.models import create_model
from point_ft_jax.models.model import Model
from point_ft_jax.models.tuned import TunedModel
from point_ft_jax.training.losses import cross_entropy
from point_ft_jax.weight_space import arithmetic


def pairs(everyday: Callable[[str, str], bool]) -> pytest.MarkDecorator:
    """Every backbone with every method; compiling them all takes minutes, so that most are slow."""
    cases = [
        pytest.param(b, m, marks=[pytest.mark.slow] * (not everyday(b, m)))
        for b in BACKBONES
        for m in METHODS
        if fits(b, m)
    ]
    return pytest.mark.parametrize(('backbone', 'method'), cases)


EVERYDAY = ('full', 'dapt', 'idpt', 'lora')
COSTLY = ('gaprompt', 'pointlora', 'ppt')  # to compile; their goldens run every time
CASES = pairs(
    lambda b, m: (
        (b == BACKBONES[0] and m not in COSTLY)
        or m in ('full', 'dapt', *(() if b in RARE else ('idpt', 'lora')))
    )
)
TRAINED = pairs(
    lambda b, m: (
        (b == BACKBONES[0] and m not in COSTLY) or (b == 'maskpoint' and m in ('full', 'dapt'))
    )
)


@functools.cache
def evaluator(backbone: str, method: str) -> callable:
    return jax.jit(fresh(backbone, method)[0].module.apply, compiler_options=FAST)


@functools.cache
def trainer(backbone: str, method: str) -> callable:
    run = functools.partial(three_steps, fresh(backbone, method)[0])
    return jax.jit(run, compiler_options=FAST)


def three_steps(model: Model, variables: dict) -> tuple[dict, dict]:
    """The variables after three steps of gradient descent, and the last gradients."""
    tree = variables['params']
    trained, frozen = trees.partition(tree, trees.select(tree, model.method.trainable))

    def loss(trained: dict, statistics: dict, key: jax.Array) -> tuple:
        logits, updates = model.module.apply(
            {'params': trees.combine(trained, frozen), 'batch_stats': statistics},
            POINTS,
            train=True,
            mutable=['batch_stats'],
            rngs={'dropout': key},
        )
        return cross_entropy(logits, LABELS).mean(), updates['batch_stats']

    def step(carry: tuple, key: jax.Array) -> tuple:
        trained, statistics, _ = carry
        gradients, statistics = jax.grad(loss, has_aux=True)(trained, statistics, key)
        trained = jax.tree.map(lambda p, g: p - 0.1 * g, trained, gradients)
        return (trained, statistics, gradients), None

    carry = (trained, variables['batch_stats'], trained)
    keys = jax.random.split(jax.random.key(1), 3)
    (trained, statistics, gradients), _ = jax.lax.scan(step, carry, keys)
    return {'params': trees.combine(trained, frozen), 'batch_stats': statistics}, gradients


@functools.cache
def trained(backbone: str, method: str) -> tuple[dict, dict]:
    return trainer(backbone, method)(fresh(backbone, method)[1])


def trainable_count(backbone: str, method: str, classes: int, **options: object) -> int:
    model = create_model(backbone, classes, method=method, **options)
    tree = model.shapes()['params']
    return trees.count(trees.partition(tree, trees.select(tree, model.method.trainable))[0])


PROMPT_ONLY = {'readout': ('prompts_mean',)}
NO_PROMPT = {'readout': ('cls', 'patches_max')}
SIDE_LAYERS = {'method_options': {'first': 3, 'share': 3}}


@pytest.mark.parametrize(
    ('method', 'classes', 'options', 'expected'),
    [
        ('full', 15, {}, 22_093_327),
        ('linear_probe', 15, {}, 268_303),
        ('vpt', 15, {}, 360_463),
        ('vpt', 40, {}, 366_888),
        ('vpt', 40, {'method_options': {'num_prompts': 20}}, 459_048),
        ('idpt', 15, {}, 1_696_783),
        ('idpt', 15, PROMPT_ONLY, 1_500_175),
        ('idpt', 40, {}, 1_703_208),
        ('dapt', 15, {}, 1_087_771),
        ('dapt', 15, {'readout': ('cls', 'prompts_mean')}, 989_467),
        ('dapt', 40, {'method_options': {'rank': 72}, **NO_PROMPT}, 1_069_716),
        ('pointgst', 15, {}, 622_831),
        ('pointgst', 40, {}, 629_256),
        ('stag', 15, {}, 428_431),
        ('stag', 40, {}, 434_856),
        ('stag', 15, SIDE_LAYERS, 1_020_751),
        ('stag', 40, SIDE_LAYERS, 1_027_176),
        ('ppt', 15, {}, 1_042_191),
        ('ppt', 40, {}, 1_048_616),
        ('pointlora', 15, {}, 772_752),
        ('pointlora', 40, {}, 779_177),
        ('gaprompt', 15, {}, 628_147),
        ('gaprompt', 15, {'method_options': {'num_points': 10}}, 628_162),
        ('gaprompt', 40, {'geometry': {'num_groups': 64}}, 630_476),
        # Never released: these meet the tables' 0.9M, 0.7M, 0.3M, 0.9M, 0.9M and 0.4M.
        ('adapter', 15, {}, 868_111),
        ('prefix', 15, {}, 710_671),
        ('bitfit', 15, {}, 307_983),
        ('lora', 15, {}, 858_127),
        ('adaptformer', 15, {}, 863_503),
        ('ssf', 15, {}, 371_215),
    ],
)
def test_trainable_parameters_of_the_published_model(
    method: str, classes: int, options: dict, expected: int
) -> None:
    assert trainable_count('recon', method, classes, **options) == expected


def test_what_is_known_is_not_drawn_and_the_rest_is_drawn_as_ever() -> None:
    model, _ = fresh('act', 'lora')
    key = jax.random.key(1)
    whole, tree = model.init(key), model.shapes()
    tree['params']['backbone'] = jax.tree.map(
        lambda leaf: np.zeros(leaf.shape), tree['params']['backbone']
    )
    drawn = model.init_missing(key, tree)
    assert not any(map(np.any, jax.tree.leaves(drawn['params'].pop('backbone'))))
    del whole['params']['backbone']
    assert all(map(same, *map(jax.tree.leaves, (whole, drawn))))
    raw = model.init(jax.random.PRNGKey(1))
    del raw['params']['backbone']
    assert all(map(same, *map(jax.tree.leaves, (whole, raw))))


@TRAINED
def test_only_what_should_train_moves(backbone: str, method: str) -> None:
    """Bit for bit; gradients exist for nothing else."""
    model, before = fresh(backbone, method)
    after, gradients = trained(backbone, method)
    old, new = trees.flatten(before['params']), trees.flatten(after['params'])
    trainable = {path for path in old if trees.matches(path, model.method.trainable)}
    moved = {path for path in old if not same(old[path], new[path])}
    assert moved <= trainable
    assert set(trees.flatten(gradients)) == trainable
    assert {path.split('/')[0] for path in moved} >= {path.split('/')[0] for path in trainable} - {
        'backbone'
    }
    assert all(np.isfinite(leaf).all() for leaf in new.values())


@TRAINED
def test_training_is_deterministic(backbone: str, method: str) -> None:
    again = trainer(backbone, method)(fresh(backbone, method)[1])
    assert all(map(same, *map(jax.tree.leaves, (again, trained(backbone, method)))))


@CASES
def test_the_backbone_is_that_of_full_tuning_and_so_is_the_function_where_declared(
    backbone: str, method: str
) -> None:
    model, variables = fresh(backbone, method)
    ours, theirs = (m.shapes() for m in (model, small(backbone, 'full')))
    for collection in ('params', 'batch_stats'):
        assert ours[collection]['backbone'] == theirs[collection]['backbone']
    if model.method.identity_at_start:
        shared = {
            name: {part: leaves for part, leaves in tree.items() if part != 'tuner'}
            for name, tree in variables.items()
        }
        expected = evaluator(backbone, 'full')(shared, POINTS)
        np.testing.assert_allclose(
            evaluator(backbone, method)(variables, POINTS), expected, rtol=1e-4, atol=1e-5
        )


@CASES
def test_a_tuned_model_at_its_identity_is_its_backbone_or_says_why_not(
    backbone: str, method: str
) -> None:
    model, _ = fresh(backbone, method)
    variables = disturbed(backbone, method)
    parts = variables['params']
    tuner, identity = parts.get('tuner', {}), model.method.identity
    if isinstance(identity, str):
        with pytest.raises(UserError, match=r'no pre-trained end .*(tokens?:|softmax)'):
            arithmetic.at_identity(tuner, identity)
    elif method != 'dapt':  # whose prompts stay, as zeros
        start = arithmetic.at_identity(tuner, identity)
        without = {name: tree for name, tree in parts.items() if name != 'tuner'}
        both = (
            evaluator(backbone, method)({**variables, 'params': {**parts, 'tuner': start}}, POINTS),
            evaluator(backbone, 'full')({**variables, 'params': without}, POINTS),
        )
        np.testing.assert_allclose(*both, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ('backbone', 'method'),
    [
        pytest.param(b, m, marks=[pytest.mark.slow] * (b in RARE and (b, m) != ('uni3d', 'ssf')))
        for b in BACKBONES
        for m in MERGEABLE
    ],
)
def test_a_merged_model_needs_no_tuner(backbone: str, method: str) -> None:
    model, _ = fresh(backbone, method)
    variables = disturbed(backbone, method)
    tuned = merge(TunedModel(model, variables, {}))
    merged, folded = tuned.model, tuned.variables
    assert 'tuner' not in folded['params']
    shapes = jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), merged.shapes())
    assert jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), folded) == shapes
    same_module = merged.module == fresh(backbone, 'full')[0].module
    run = (
        evaluator(backbone, 'full')
        if same_module
        else jax.jit(merged.module.apply, compiler_options=FAST)
    )
    expected = evaluator(backbone, method)(variables, POINTS)
    np.testing.assert_allclose(run(folded, POINTS), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize('method', sorted(set(METHODS) - set(MERGEABLE)))
def test_what_can_not_be_merged_says_why(method: str) -> None:
    with pytest.raises(UserError, match=r'into its backbone: .*(cloud|tokens|linear|softmax)'):
        merge(TunedModel(*fresh(BACKBONES[0], method), {}))


@pytest.mark.parametrize('method', ONE_LEVEL)
def test_a_method_that_starts_with_the_points_says_so_to_a_hierarchy(method: str) -> None:
    with pytest.raises(UserError, match=r'this backbone has no such place.* of one level'):
        small('point_m2ae', method, readout=('patches_max',)).shapes()


@pytest.mark.parametrize('backbone', COLOURED)
def test_learned_points_have_no_colours(backbone: str) -> None:
    with pytest.raises(UserError, match=r'learns points of x, y, z, .* have 6 channels'):
        small(backbone, 'gaprompt', readout=('patches_max',)).shapes()


@pytest.mark.parametrize('method', ['dapt', 'idpt'])
@pytest.mark.parametrize('backbone', WITHOUT_CLS)
def test_a_readout_without_its_tokens_says_so(backbone: str, method: str) -> None:
    with pytest.raises(UserError, match="readout 'cls' needs cls tokens"):
        small(backbone, method, readout=None).shapes()


@pytest.mark.parametrize(
    ('method', 'options', 'message'),
    [
        ('idpt', {'prompt_layer': 9}, 'IdptTuner puts nothing into this backbone'),
        ('idpt', {'prompt_layer': 0, 'neighbors': 20}, '20 neighbours among 8 patches'),
        ('lora', {'targets': ('query',)}, 'LoraTuner puts nothing into this backbone'),
        ('pointgst', {'local': 5}, '8 patches into parts of 5'),
        ('dapt', {'slots': -4}, 'slots is -4; expected 0 or more'),
        ('lora', {'rank': 0}, 'rank is 0; expected more than 0'),
        (
            'lora',
            {'rank': '8'},
            "  - rank is '8'; expected a whole number",
        ),
        ('lora', {'alpha': np.inf}, 'alpha is inf; expected a finite number'),
        ('lora', {'targets': ('qkv', 1)}, 'expected a list, each of its items a text'),
        ('gaprompt', {'shift_dropout': 1}, 'shift_dropout is 1; expected 0 or more and less than'),
        ('stag', {'detach': 0}, 'detach is 0; expected True or False'),
        ('ssf+lora', {'lora': 3}, 'the options of method lora are 3; expected values by name'),
        ('stag', {'first': 2}, 'after block 2 and later ones, and this backbone has blocks 0 to 1'),
        ('stag', {'first': 0, 'neighbors': 9}, '9 neighbours among 8 patches'),
        ('ppt', {'num_groups': 0}, 'num_groups is 0; expected more than 0'),
        ('pointlora', {'selections': ((4, 4, 5, 1.0),)}, 'can not keep 5 tokens of 4'),
        ('gaprompt', {'propagation': 'permutation'}, "expected 'aligned' or 'reference'"),
        ('gaprompt', {'place': 'before_attention'}, "expected 'after' or 'before'"),
    ],
)
def test_options_that_do_not_fit_the_backbone(method: str, options: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        small('point_mae', method, method_options=options, readout=('cls',)).shapes()


def test_the_position_of_idpts_prompt_trains_only_on_request() -> None:
    position = 'tuner/block_0.position/value'
    published = small('point_mae', 'idpt')
    assert position in trees.flatten(published.shapes()['params'])
    assert not trees.matches(position, published.method.trainable)
    everything = small('point_mae', 'idpt', trainable=('tuner/*', 'head/*', 'backbone/cls_*'))
    assert trees.matches(position, everything.method.trainable)


def test_modules_with_two_pytorch_names_are_written_under_both_and_read_from_the_later() -> None:
    model, variables = fresh('point_mae', 'idpt')
    model = small('point_mae', 'idpt')
    state = model.export(variables)
    assert same(state['blocks.cls.bn1.weight'], state['blocks.cls.conv1.1.weight'])
    assert state['blocks.cls.conv1.0.weight'].shape == (24, 48, 1, 1)
    assert state['blocks.cls.conv5.0.weight'].shape == (24, 72, 1)
    state['blocks.cls.bn1.weight'] = state['blocks.cls.bn1.weight'] + 1
    loaded, _ = model.load_all(variables, state, 'a file')
    assert all(map(same, *map(jax.tree.leaves, (loaded, variables))))


@pytest.mark.slow
def test_methods_put_together_train_and_merge_as_each_does() -> None:
    """SSF around LoRA: the low-rank product is scaled with its map, merged or not."""
    options = {'method_options': {'lora': {'rank': 2}}}
    model = small('recon_two_stream', 'ssf+lora', **options)
    variables = model.init(jax.random.key(0))
    assert set(variables['params']['tuner']) == {'ssf', 'lora'}
    run = jax.jit(functools.partial(three_steps, model), compiler_options=FAST)
    variables, _ = run(variables)
    tuned = merge(TunedModel(model, variables, {}))
    merged, folded = tuned.model, tuned.variables
    apply = functools.partial(jax.jit, compiler_options=FAST)
    expected = apply(model.module.apply)(variables, POINTS)
    found = apply(merged.module.apply)(folded, POINTS)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_a_method_without_a_tuner_adds_what_it_trains() -> None:
    both = small('point_mae', 'bitfit+lora', method_options=None)
    alone = small('point_mae', 'lora', method_options=None)
    assert both.shapes()['params'] == alone.shapes()['params']
    parts = (small('point_mae', name).method.trainable for name in ('bitfit', 'lora'))
    assert set(both.method.trainable) == set().union(*parts)


@pytest.mark.parametrize(
    ('method', 'options', 'message'),
    [
        ('dapt+vpt', None, 'name one of them at most, and name it last'),
        ('adaptformer+dapt', None, 'name one of them at most, and name it last'),
        ('ssf+lora', {'rank': 4}, "has no part rank: .* keyed by their names, {'ssf'"),
        ('ssf+lora', {'lora': {'width': 4}}, 'method lora has no option width; it has rank'),
        ('ssf+lore', None, "no 'lore' among the methods"),
    ],
)
def test_methods_that_do_not_go_together(method: str, options: dict | None, message: str) -> None:
    with pytest.raises(UserError, match=message):
        small('point_mae', method, method_options=options).shapes()
