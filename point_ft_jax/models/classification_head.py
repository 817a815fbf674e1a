"""The classification head: from the features that a readout gives to logits."""

import flax.linen as nn
import jax
import jax.numpy as jnp

from point_ft_jax.core.errors import UserError
from point_ft_jax.core.trees import Array
from point_ft_jax.models.layers import BatchNorm, Dtype, Linear, gelu

ACTIVATIONS = {'relu': jax.nn.relu, 'gelu': gelu}


class ClassificationHead(nn.Module):
    """Features [B, F] to logits [B, classes]: linear (batch norm) ReLU dropout, ..., linear.

    Raises a UserError for an activation that is not in ACTIVATIONS.

    Attributes:
        num_classes: C.
        outputs: where more than C, so many logits in training; evaluation leaves the rest out.
        widths: of the hidden layers; () is a single linear map.
        batch_norm: whether a batch norm follows every hidden linear map.
        dropout: rate after every hidden layer.
        activation: what follows a hidden layer's norm, 'relu' or 'gelu'.
        module: what the reference calls the head.
        dtype: what to compute in; None for the parameters' type. Logits are float32 at least.

    Called with `train`, dropout is on and batch statistics are used.
    """

    num_classes: int
    widths: tuple[int, ...] = (256, 256)
    batch_norm: bool = True
    dropout: float = 0.5
    activation: str = 'relu'
    outputs: int = 0
    module: str = 'cls_head_finetune'
    dtype: Dtype | None = None

    conv = ()  # PyTorch names of convolutions: there are none

    @nn.compact
    def __call__(self, x: Array, train: bool = False) -> Array:
        if self.activation not in ACTIVATIONS:
            raise UserError(
                f"the head's activation is {self.activation!r}; expected "
                f'{" or ".join(map(repr, ACTIVATIONS))}'
            )
        for index, width in enumerate(self.widths):
            x = Linear(width, dtype=self.dtype, name=f'layer_{index}')(x)
            if self.batch_norm:
                x = BatchNorm(not train, self.dtype, name=f'norm_{index}')(x)
            x = nn.Dropout(self.dropout, deterministic=not train)(ACTIVATIONS[self.activation](x))
        outputs = max(self.outputs, self.num_classes)
        logits = Linear(outputs, dtype=self.dtype, name='logits')(x)
        if not train:
            logits = logits[..., : self.num_classes]
        return logits.astype(jnp.promote_types(logits.dtype, jnp.float32))

    @property
    def torch_names(self) -> dict[str, str]:
        """The head's tree paths to PyTorch names.

        The published heads are one `nn.Sequential` each, numbered through: linear, batch norm if
        any, ReLU and dropout for every hidden layer, then the last linear.
        """
        step = 4 if self.batch_norm else 3
        names = {'logits': step * len(self.widths)}
        for index in range(len(self.widths)):
            names[f'layer_{index}'] = step * index
            if self.batch_norm:
                names[f'norm_{index}'] = step * index + 1
        return {path: f'{self.module}.{number}' for path, number in names.items()}
