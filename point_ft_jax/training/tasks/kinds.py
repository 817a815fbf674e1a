"""The tasks that a model can be fine-tuned for, by the name that `finetune` and a config give."""

import dataclasses
from collections.abc import Callable, Mapping

from point_ft_jax.core.errors import UserError
from point_ft_jax.data.split import Split
from point_ft_jax.models.spec import ModelSpec
from point_ft_jax.training.tasks.classification import classification
from point_ft_jax.training.tasks.part_segmentation import part_segmentation
from point_ft_jax.training.tasks.task import Task


@dataclasses.dataclass(frozen=True)
class Kind:
    """A task by name, before there is data.

    Attributes:
        name: as in `Task.name`.
        make: (split, **options) to the task on data like the split.
        options: what `make` takes.
        segments: whether every point has an answer, so that data need part labels and models a
            part head.
    """

    name: str
    make: Callable[..., Task]
    options: tuple[str, ...]
    segments: bool = False

    def check(self, data: Split, name: str = 'the data') -> None:
        """Raises UserError if data lack what the task needs."""
        if self.segments and data.part_labels is None:
            raise UserError(
                f'{name} has no part labels, which the task {self.name} needs: choose data that '
                'have, such as the data sets shapes, shapenetpart or part_folder or '
                "Split.from_arrays(…, part_labels=…), or the task 'classification'"
            )

    def num_parts(self, part_names: int) -> int | None:
        """P of a model for data with so many part names; None for one without a part head."""
        return part_names if self.segments else None

    def task(self, split: Split, options: Mapping[str, object]) -> Task:
        """The task on data like `split`.

        Raises:
            UserError: an option that the task does not have, or a wrong value of one.
        """
        if unknown := sorted(set(options) - set(self.options)):
            raise UserError(
                f'the task {self.name} has no option {", ".join(unknown)}; it has '
                f'{", ".join(self.options)}'
            )
        return self.make(split, **options)


KINDS = {
    kind.name: kind
    for kind in (
        Kind(
            'classification',
            lambda split, **options: classification(**options),
            ('smoothing', 'class_weights'),
        ),
        Kind(
            'part_segmentation',
            lambda split, **options: part_segmentation(
                split.parts, len(split.part_names), **options
            ),
            ('sampling', 'smoothing'),
            segments=True,
        ),
    )
}


def named(name: str) -> Kind:
    """The task of a name.

    Raises:
        UserError: another name than those of `KINDS`.
    """
    if name not in KINDS:
        raise UserError(f'task is {name!r}; expected one of {", ".join(KINDS)}')
    return KINDS[name]


def of_data(data: Split) -> Kind:
    """Part segmentation of data with part labels, else classification."""
    return _segmenting(data.part_labels is not None)


def of_model(spec: ModelSpec) -> Kind:
    """What a model was built for."""
    return _segmenting(spec.num_parts is not None)


def _segmenting(segments: bool) -> Kind:
    return next(kind for kind in KINDS.values() if kind.segments == segments)
