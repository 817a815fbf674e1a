"""A model with its variables: what fine-tuning gives, and what a saved run is read back as."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from point_ft_jax.core import trees
from point_ft_jax.core.trees import Variables
from point_ft_jax.models.model import Model


@dataclasses.dataclass(frozen=True)
class TunedModel:
    """A model, its variables, and what is known of its training.

    Attributes:
        model: as `create_model` or `build` made it; of a pre-training run an autoencoder.
        variables: 'params' and 'batch_stats'.
        metadata: in JSON's types: 'classes', 'part_names', 'points' (that the model takes),
            'stored_points', 'radius' and 'sides' of the training clouds, 'checkpoint' (what it
            started from); of a run more.
        history: a mapping for each epoch, with 'epoch', 'train_loss', 'train_accuracy' and, where
            clouds were held out, 'validation_accuracy' (fractions) and 'validation_loss'.
        scores: on the validation clouds at the best epoch, by name; fractions in 0..1.

    Examples:
        >>> import jax
        >>> from point_ft_jax import TunedModel, create_model
        >>> model = create_model('recon', 2, variant='tiny', method='linear_probe')
        >>> metadata = {'classes': ['chair', 'table'], 'points': 1024}
        >>> tuned = TunedModel(model, model.init(jax.random.key(0)), metadata)
        >>> tuned.parameters['backbone']  # of which the class token trains
        (5753472, 384)
        >>> tuned
        TunedModel(recon tiny, linear_probe, 2 classes, 166,274 of 5,919,362 parameters trainable)
    """

    model: Model
    variables: Variables
    metadata: Mapping[str, Any]
    history: Sequence[Mapping[str, Any]] = ()
    scores: Mapping[str, float] = dataclasses.field(default_factory=dict)

    @property
    def classes(self) -> tuple[str, ...]:
        """The class names, in the order of the logits."""
        return tuple(self.metadata['classes'])

    @property
    def parameters(self) -> dict[str, tuple[int, int]]:
        """Part of the model ('backbone', 'tuner', 'head') -> (parameters, trainable parameters)."""
        tree = self.variables['params']
        return trees.counts(tree, trees.select(tree, self.model.trainable))

    def __repr__(self) -> str:
        spec, counts = self.model.spec, self.parameters.values()
        total, trainable = (sum(pair[i] for pair in counts) for i in (0, 1))
        scores = ''.join(f', {name} {100 * value:.2f} %' for name, value in self.scores.items())
        return (
            f'TunedModel({spec.backbone} {spec.variant}, {getattr(spec, "method", "pre-training")},'
            f' {len(self.metadata["classes"])} classes, {trainable:,} of {total:,} parameters '
            f'trainable{scores})'
        )
