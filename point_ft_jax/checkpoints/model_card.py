"""A model card: the README.md that model hubs show, with what they search by in a YAML header."""

import json
from collections.abc import Mapping
from typing import Any

from point_ft_jax.models import ModelSpec

TASKS = {False: 'point-cloud-classification', True: 'point-cloud-part-segmentation'}
# Hubs have a word for a licence that is none of theirs.
UNKNOWN = 'other'


def write(spec: ModelSpec, metadata: Mapping[str, Any], licence: str, command: str) -> str:
    """The text of a delta's README.md.

    Args:
        spec: of the model.
        metadata: of its run; see `models.tuned.TunedModel`.
        licence: by its short name, such as 'apache-2.0'; '' where it is not said.
        command: that trained it; '' where it is not known.
    """
    task = TASKS[spec.num_parts is not None]
    config = metadata.get('config') or {}
    data = (config.get('data') or {}).get('name', 'own clouds')
    scores = metadata.get('scores') or {}
    start = metadata.get('checkpoint') or 'random weights'
    classes = list(metadata.get('classes', ()))
    header = {
        'library_name': 'point_ft_jax',
        'pipeline_tag': 'other',
        'license': licence or UNKNOWN,
        'tags': ['point-cloud', task, spec.backbone, spec.method],
        'datasets': [data],
        'base_model': start,
        'metrics': sorted(scores),
        'model-index': [
            {
                'name': f'{spec.backbone} {spec.variant}, {spec.method}',
                'results': [
                    {
                        'task': {'type': task},
                        'dataset': {'name': data, 'type': data, 'split': 'validation'},
                        'metrics': [
                            {'type': name, 'value': round(float(value), 6)}
                            for name, value in sorted(scores.items())
                        ],
                    }
                ],
            }
        ],
    }
    # What JSON is, YAML is too.
    lines = [f'{name}: {json.dumps(value, ensure_ascii=False)}' for name, value in header.items()]
    measured = [f'- {name}: {100 * value:.2f} %' for name, value in sorted(scores.items())]
    return '\n'.join(
        [
            '---',
            *lines,
            '---',
            '',
            f'# {spec.backbone} ({spec.variant}), tuned by {spec.method}',
            '',
            f'What tuning added to a backbone, for {len(classes)} classes: '
            f'{", ".join(map(str, classes))}. It belongs to a copy of {start}, and refuses every '
            'other backbone.',
            '',
            *(
                ['On the validation clouds, at the best epoch:', '', *measured, '']
                if scores
                else []
            ),
            f'Use it with point_ft_jax, on clouds of {metadata.get("points", "?")} points:',
            '',
            f'    point-ft predict THIS_FOLDER CLOUDS --backbone={start}',
            '',
            *(['Made by:', '', f'    {command}', ''] if command else []),
            *(
                []
                if licence
                else ['The licence is not said: that of the backbone and of the data holds.', '']
            ),
        ]
    )
