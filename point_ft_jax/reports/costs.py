"""What a run took: parameters, memory, operations, seconds."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from point_ft_jax.reports.report import Section, Table


@dataclasses.dataclass(frozen=True)
class Cost:
    """Bytes by XLA and on disk, FLOPs of a training step, seconds, training clouds per second."""

    argument_bytes: int | None = None
    temporary_bytes: int | None = None
    output_bytes: int | None = None
    flops_per_step: float | None = None
    compile_seconds: float | None = None
    train_seconds: float | None = None
    clouds_per_s: float | None = None
    delta_bytes: int | None = None
    model_bytes: int | None = None


def cost_section(cost: Cost) -> Section:
    """The amounts that are known, a row each."""
    rows = {
        'Arguments of a training step': (cost.argument_bytes, 2**20, 'MiB'),
        'Temporaries': (cost.temporary_bytes, 2**20, 'MiB'),
        'Outputs': (cost.output_bytes, 2**20, 'MiB'),
        'Operations of a training step': (cost.flops_per_step, 1e9, 'GFLOP'),
        'Compilation': (cost.compile_seconds, 1, 's'),
        'Training': (cost.train_seconds, 1, 's'),
        'Delta': (cost.delta_bytes, 2**20, 'MiB'),
        'Whole model': (cost.model_bytes, 2**20, 'MiB'),
        'Training speed': (cost.clouds_per_s, 1, 'clouds/s'),
    }
    known = [
        {'What': name, 'Amount': f'{value / unit:,.1f} {unit_name}'}
        for name, (value, unit, unit_name) in rows.items()
        if value is not None
    ]
    return Section('Memory and time', [Table(known)] if known else [])


def parameter_section(parameters: Mapping[str, tuple[int, int]]) -> Section:
    """A row for each part of the model: parameters, and how many of them are trainable."""
    if not parameters:
        return Section('Parameters', [])
    sums = tuple(map(sum, zip(*parameters.values(), strict=True)))
    rows: list[dict[str, Any]] = [
        {
            'Part': part,
            'Parameters': total,
            'Trainable': trainable,
            'Trainable, %': f'{100 * trainable / max(total, 1):.2f}',
        }
        for part, (total, trainable) in {**parameters, 'all': sums}.items()
    ]
    return Section('Parameters', [Table(rows)])
