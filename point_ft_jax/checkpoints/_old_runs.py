"""What a model is, of folders that were written before there was a spec.json.

Their facts.json holds the whole config of the run. The fields are read by the names that they had
then, whatever the config's are today.
"""

import pathlib
from collections.abc import Mapping
from typing import Any

from point_ft_jax.core.errors import UserError
from point_ft_jax.models.spec import AutoencoderSpec, ModelSpec, Spec


def spec(folder: pathlib.Path, metadata: Mapping[str, Any]) -> Spec:
    """The spec of a model, from the metadata that a run wrote before.

    Args:
        folder: where they are, for the message.
        metadata: of facts.json.

    Raises:
        UserError: they do not say what model it is.
    """
    try:
        config = metadata['config']
        return _autoencoder(config, metadata) if 'pretrain' in config else _model(config, metadata)
    except (KeyError, TypeError, AttributeError) as error:
        raise UserError(
            f'{folder} has no spec.json, and its facts.json does not say what model it is either '
            f'({type(error).__name__}: {error}): export its weights with the version of '
            'point_ft_jax that wrote it (point-ft export), or train it again'
        ) from None


def completed(found: Mapping[str, Any]) -> dict[str, Any]:
    """The metadata with the 'checkpoint' that the run started from, which was in its config."""
    match found:
        case {'config': {'init': {'checkpoint': str(checkpoint)}}}:
            return {'checkpoint': checkpoint, **found}
    return {'checkpoint': None, **found}


def _model(config: Mapping[str, Any], metadata: Mapping[str, Any]) -> ModelSpec:
    parts = len(metadata['part_names']) if config['task'] == 'part_segmentation' else None
    return ModelSpec(
        num_classes=len(metadata['classes']),
        num_parts=parts,
        **_backbone(config),
        method=config['method']['name'],
        method_options=_given(config['method']['options']),
        trainable=tuple(config['method']['trainable']),
        readout=tuple(config['model']['readout']),
        head=_given(config['model']['head']),
        batch_norm=config['batch_norm'],
    )


def _autoencoder(config: Mapping[str, Any], metadata: Mapping[str, Any]) -> AutoencoderSpec:
    pretrain = config['pretrain']
    masked = {name: pretrain[name] for name in ('mask', 'mask_ratio')}
    return AutoencoderSpec(
        **_backbone(config),
        options={**masked, **_given(pretrain['decoder'])},
        teachers=metadata['teachers'],
        contrast=pretrain['contrast'],
    )


def _backbone(config: Mapping[str, Any]) -> dict[str, Any]:
    """What both kinds of spec say of the backbone."""
    model = config['model']
    geometry = _given(model['geometry'])
    return {
        'backbone': model['backbone'],
        'variant': model['variant'],
        'geometry': geometry,
        'dtype': model['compute'],
    }


def _given(section: Mapping[str, Any]) -> dict[str, Any]:
    """A section of a config without the options that were not set."""
    return {name: value for name, value in section.items() if value is not None}
