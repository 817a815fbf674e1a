"""What a tuning method is: a tuner, what trains, and what the head reads."""

import dataclasses
from collections.abc import Callable, Mapping

from point_ft_jax.transformer import Tuner


@dataclasses.dataclass(frozen=True)
class Method:
    """A tuning method, as a file in `methods/` defines it under the name METHOD.

    Attributes:
        trainable: patterns (`fnmatch`, '*' crosses '/') over the paths of the tree; what matches
            none is frozen.
        tuner: makes the tuner; its fields are the method's options.
        readout: what the head reads where the config says nothing; None for the backbone's own.
        torch_names: the tuner's tree paths to PyTorch names, as a backbone's `torch_names`.
    """

    trainable: tuple[str, ...]
    tuner: Callable[..., Tuner] = Tuner
    readout: tuple[str, ...] | None = None
    torch_names: Mapping[str, str] = dataclasses.field(default_factory=dict)


# What every published method trains beside its own parameters: the head, and of the backbone the
# global tokens and their positions (the references select by a substring of these names).
HEAD_AND_CLS = ('head/*', 'backbone/cls_token', 'backbone/cls_pos')
