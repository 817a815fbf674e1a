"""What the head reads from the tokens: class token, prompts, patches, by mean or maximum."""

from collections.abc import Sequence

import jax.numpy as jnp

from point_ft_jax.core.errors import UserError
from point_ft_jax.core.trees import Array
from point_ft_jax.models.layers import max_pool
from point_ft_jax.models.tokens import Tokens


def _cls(tokens: Tokens) -> Array:
    return tokens.cls.reshape(tokens.cls.shape[0], -1)


# Each takes [B, n, D] tokens of one kind to a feature vector [B, ...].
READOUTS = {
    'cls': _cls,
    'cls_max': lambda tokens: max_pool(tokens.cls),
    'prompts_first': lambda tokens: tokens.prompts[:, 0],
    'prompts_last': lambda tokens: tokens.prompts[:, -1],
    'prompts_mean': lambda tokens: tokens.prompts.mean(axis=1),
    'prompts_max': lambda tokens: max_pool(tokens.prompts),
    'patches_mean': lambda tokens: tokens.patches.mean(axis=1),
    'patches_max': lambda tokens: max_pool(tokens.patches),
    # Point-M2AE's two published classifiers: the second still leaves out the first token, as if it
    # were a class token.
    'patches_mean_plus_max': lambda tokens: tokens.patches.mean(axis=1) + max_pool(tokens.patches),
    'patches_max_but_first': lambda tokens: max_pool(tokens.patches[:, 1:]),
    'others_max': lambda tokens: max_pool(tokens.others),
    'aside': lambda tokens: tokens.aside.reshape(tokens.aside.shape[0], -1),
    'all_mean': lambda tokens: tokens.mean(tokens.sequence())[:, 0],
}


EXPECTED = (
    f'expected one or more of {", ".join(READOUTS)}; they are put side by side in the order given'
)


def read_out(tokens: Tokens, readout: tuple[str, ...]) -> Array:
    """The features [B, F] that a head sees: the named readouts side by side, in float32 at least.

    'cls' is every global token in turn, 'cls_max' their maximum; 'prompts_first' and 'prompts_last'
    are the newest and the oldest prompt; 'prompts_mean', 'prompts_max', 'patches_mean' and
    'patches_max' pool tokens of one kind; 'patches_mean_plus_max' is the sum of the two poolings,
    'patches_max_but_first' the maximum without the first patch. 'others_max' is the maximum of
    prompts and patches, 'all_mean' the mean of these and the global tokens; 'aside' is what the
    method has put aside for the head. Some backbones have features of their own
    (`Tokens.features`), such as 'aligned'.

    Raises:
        UserError: an unknown name, or a readout of tokens that this model does not have.
    """
    if not readout:
        raise UserError(f'readout {tuple(readout)}: {EXPECTED}')
    features = jnp.concatenate([_read(tokens, name) for name in readout], axis=-1)
    return features.astype(jnp.promote_types(features.dtype, jnp.float32))


def read_stages(stages: Sequence[Tokens], readout: tuple[str, ...]) -> Array:
    """What a part-segmentation head reads of the whole clouds, [B, F]; F may be 0.

    Each of the named readouts in turn, for all stages side by side; the global tokens ('cls',
    'cls_max') of the last stage only.

    Raises:
        UserError: as `read_out`.
    """
    found = [stages[-1].patches[:, 0, :0]]
    for name in readout:
        read = stages[-1:] if _kind(name) == 'cls' else stages
        found += [_read(tokens, name) for tokens in read]
    return jnp.concatenate(found, axis=-1)


def _kind(name: str) -> str:
    """The kind of tokens that a readout is of: its first word, a field of `Tokens`."""
    return name.split('_')[0]


def _read(tokens: Tokens, name: str) -> Array:
    if name in tokens.features:
        return tokens.features[name]
    if name not in READOUTS:
        own = f'; this backbone has {", ".join(tokens.features)} too' if tokens.features else ''
        raise UserError(f'readout {name!r}: {EXPECTED}{own}')
    kind = _kind(name)
    if kind != 'all' and getattr(tokens, kind).shape[1] == 0:
        raise UserError(
            f'readout {name!r} needs {kind} tokens, and this backbone with this method has '
            'none: choose another readout, backbone or method'
        )
    return READOUTS[name](tokens)
