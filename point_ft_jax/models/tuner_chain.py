"""Methods put together: 'ssf+lora' is SSF around LoRA around the backbone."""

import functools
from collections.abc import Callable, Mapping

import flax.linen as nn

from point_ft_jax.core.errors import UserError
from point_ft_jax.core.trees import Array, Tree
from point_ft_jax.models.embedding import Embedding
from point_ft_jax.models.tokens import Tokens
from point_ft_jax.models.tuner import Method, Tuner

STEPS = ('attend', 'normalize', 'mlp', 'join')


class Tuned:
    """A module as the next tuner outside sees it: its attributes, and `call` for its call."""

    def __init__(self, module: nn.Module, call: Callable) -> None:
        self.module = module
        self.call = call

    def __call__(self, x: Array | Tokens) -> Array | Tokens:
        return self.call(x)

    def __getattr__(self, name: str) -> object:
        if name in STEPS:
            raise UserError(
                'methods that run beside the MLP (adaptformer, dapt, pointgst) take a block apart, '
                'so that no other can be inside them: name one of them at most, and name it last'
            )
        return getattr(self.module, name)


class Chain(Tuner):
    """Tuners one around the other, the first outermost; each has a subtree by its name."""

    tuners: tuple[Tuner, ...]
    preserve_adopted_names = True  # Flax would call them tuners_0, tuners_1

    @property
    def fewest_points(self) -> int:
        return max(tuner.fewest_points for tuner in self.tuners)

    def tokens(self, embedding: Embedding, points: Array) -> Tokens:
        makers = [t for t in self.tuners if type(t).tokens is not Tuner.tokens]
        if len(makers) > 1:
            names = ' and '.join(tuner.name for tuner in makers)
            raise UserError(
                f'{names} each make the first tokens of the points: name one of them at most'
            )
        return (makers or [super()])[0].tokens(embedding, points)

    def layer(self, module: nn.Module, x: Array) -> Array:
        return self._around(module, 'layer')(x)

    def keys_values(self, attention: nn.Module, k: Array, v: Array) -> tuple[Array, Array]:
        for tuner in reversed(self.tuners):
            k, v = tuner.keys_values(attention, k, v)
        return k, v

    def block(self, block: nn.Module, tokens: Tokens) -> Tokens:
        return self._around(block, 'block')(tokens)

    def _around(self, module: nn.Module, seam: str) -> nn.Module | Tuned:
        for tuner in reversed(self.tuners):
            module = Tuned(module, functools.partial(getattr(tuner, seam), module))
        return module


def chain(plans: Mapping[str, Method]) -> Method:
    """One method of several, the first outermost: what any of them trains, the first readout.

    Its tuner's options are keyed by method. Only where more than one of them has a tuner of its own
    do these lie below the methods' names in the tree.
    """
    tuned = {name: plan for name, plan in plans.items() if plan.tuner is not Tuner}

    def inside(name: str, path: str) -> str:
        return f'{name}/{path}' if len(tuned) > 1 else path

    def pattern(name: str, path: str) -> str:
        return f'tuner/{inside(name, path[6:])}' if path.startswith('tuner/') else path

    def tuner(**options: Mapping[str, object]) -> Tuner:
        parts = [plan.tuner(**options.get(n, {}), name=n) for n, plan in tuned.items()]
        return Chain(tuple(parts)) if len(parts) > 1 else (*parts, Tuner())[0]

    def merge(own: Tree, backbone: Tree, tuner: Tuner) -> Tree:
        parts = tuner.tuners if isinstance(tuner, Chain) else (tuner,)
        for part in reversed(parts):
            its = own.get(part.name, {}) if isinstance(tuner, Chain) else own
            backbone = tuned[part.name].merge(its, backbone, part)
        return backbone

    reasons = [
        f'{name}: {plan.merge}' for name, plan in tuned.items() if isinstance(plan.merge, str)
    ]
    none = [f'{n}: {plan.identity}' for n, plan in tuned.items() if isinstance(plan.identity, str)]
    return Method(
        trainable=tuple(pattern(n, path) for n, plan in plans.items() for path in plan.trainable),
        tuner=tuner,
        readout=next((plan.readout for plan in plans.values() if plan.readout), None),
        head={k: v for plan in plans.values() for k, v in plan.head.items()},
        torch_names={
            inside(n, path): name
            for n, plan in tuned.items()
            for path, name in plan.torch_names.items()
        },
        conv=tuple(name for plan in tuned.values() for name in plan.conv),
        torch_inside={k: v for plan in tuned.values() for k, v in plan.torch_inside.items()},
        torch_twins={a: b for plan in tuned.values() for a, b in plan.torch_twins.items()},
        undecayed=tuple(inside(n, path) for n, plan in tuned.items() for path in plan.undecayed),
        identity_at_start=all(plan.identity_at_start for plan in plans.values()),
        identity='; '.join(none)
        or {inside(n, path): v for n, plan in tuned.items() for path, v in plan.identity.items()},
        merge='; '.join(reasons) or merge,
    )
