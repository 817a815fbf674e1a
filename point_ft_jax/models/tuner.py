"""The four seams of a backbone and the method that uses them."""

import dataclasses
from collections.abc import Callable, Mapping

import flax.linen as nn

from point_ft_jax.core.trees import Array, Tree, flatten, unflatten
from point_ft_jax.models.embedding import Embedding
from point_ft_jax.models.tokens import Tokens


class Tuner(nn.Module):
    """The identity: what full fine-tuning and linear probing put at the seams.

    Whether dropout is on and what type to compute in, a method reads from the block that it is
    given: `block.train`, `block.dtype`.
    """

    @property
    def fewest_points(self) -> int:
        """How many points of a cloud the method needs."""
        return 0

    def tokens(self, embedding: Embedding, points: Array) -> Tokens:
        """The tokens of clouds [B, N, 3] that enter the first block.

        Here a method changes the points, groups them in another way too, or computes what all
        blocks share (`Tokens.memo`). Backbones of one level have this seam; a method that needs it
        asks for what it left in `memo` at its blocks, with `methods._modules.recall`.
        """
        return embedding.tokens(embedding.group(points))

    def layer(self, module: nn.Module, x: Array) -> Array:
        """The output of a linear map, a norm or the tokenizer, `module`, for its input `x`."""
        return module(x)

    def keys_values(self, attention: nn.Module, k: Array, v: Array) -> tuple[Array, Array]:
        """The keys and values [B, N, H, D/H] that an attention looks at."""
        return k, v

    def block(self, block: nn.Module, tokens: Tokens) -> Tokens:
        """The tokens after `block`."""
        return block(tokens)

    @nn.compact
    def own(self, make: Callable[..., nn.Module], *owners: nn.Module | str) -> nn.Module:
        """A module of the tuner's own, made by `make(name=…)` and named after `owners`.

        An owner is a word or one of the backbone's modules, which stands for its path below the
        backbone: `own(ScaleShift, qkv)` is 'block_3.attention.qkv'.
        """
        words = [w for o in owners for w in ([o] if isinstance(o, str) else o.path[1:])]
        return make(name='.'.join(words))


@dataclasses.dataclass(frozen=True)
class Method:
    """A tuning method, as a file in `methods/` defines it under the name METHOD.

    Attributes:
        trainable: patterns (`fnmatch`, '*' crosses '/') over the paths of the tree; what matches
            none is frozen.
        tuner: makes the tuner; its fields are the method's options.
        readout: what the head reads where the config says nothing; None for the backbone's own.
        head: fields of the head that the published model has otherwise than the backbone's.
        segmentation: the method's form for part segmentation, where it has another.
        torch_names: the tuner's tree paths to PyTorch names, as a backbone's `torch_names`.
        conv: PyTorch names of the tuner's convolutions, as a backbone's `conv`; a name that fits
            two is two-dimensional.
        torch_inside: patterns over the paths of the backbone's modules to what their names end with
            in the method's files, where the reference has put a module around each.
        torch_twins: second names to first, for modules that the reference registers twice: what
            whole PyTorch names begin with, up to a dot.
        undecayed: patterns over the tuner's paths, as a backbone's `undecayed`.
        identity_at_start: whether a fresh tuner leaves the backbone's function as it is.
        identity: patterns over the tuner's paths to the values at which it leaves the backbone's
            function as it is, the pre-trained end of an interpolation; or why there are none.
        as_pretrained: options with which the backbone computes as in its pre-training, where the
            published method does otherwise; for weights whose own record says how they were made.
        merge: (the tuner's parameters, the backbone's, the tuner) to the parameters of a backbone
            that needs no tuner; or why there is none.
    """

    trainable: tuple[str, ...]
    tuner: Callable[..., Tuner] = Tuner
    readout: tuple[str, ...] | None = None
    head: Mapping[str, object] = dataclasses.field(default_factory=dict)
    segmentation: 'Method | None' = None
    torch_names: Mapping[str, str] = dataclasses.field(default_factory=dict)
    conv: tuple[str, ...] = ()
    torch_inside: Mapping[str, str] = dataclasses.field(default_factory=dict)
    torch_twins: Mapping[str, str] = dataclasses.field(default_factory=dict)
    undecayed: tuple[str, ...] = ()
    identity_at_start: bool = False
    identity: Mapping[str, float] | str = (
        'no values are known at which it leaves the backbone as it is'
    )
    as_pretrained: Mapping[str, object] = dataclasses.field(default_factory=dict)
    merge: Callable[[Tree, Tree, Tuner], Tree] | str = 'folding it is not implemented'


# What every published method trains beside its own parameters: the head, and of the backbone the
# global tokens and their positions (the references select by a substring of these names).
HEAD_AND_CLS = ('head/*', 'backbone/cls_token', 'backbone/cls_pos')


def fold(own: Tree, backbone: Tree, one: Callable[[Tree, Tree], Tree]) -> Tree:
    """The backbone's parameters with each owner's replaced by `one(the tuner's, the owner's)`.

    `own` has one entry an owner, named as `Tuner.own` does: 'block_3.attention.qkv'.
    """
    leaves = flatten(backbone)
    for owner, values in own.items():
        prefix = owner.replace('.', '/') + '/'
        module = {path: leaves.pop(path) for path in list(leaves) if path.startswith(prefix)}
        inside = unflatten({path.removeprefix(prefix): leaf for path, leaf in module.items()})
        leaves |= {prefix + path: leaf for path, leaf in flatten(one(values, inside)).items()}
    return unflatten(leaves)
