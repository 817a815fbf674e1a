"""Which tuning method a PyTorch file is of, and how such a file is evaluated."""

import re

from point_ft_jax.core import plugins
from point_ft_jax.experiments import papers
from point_ft_jax.models.torch_names import Fit
from point_ft_jax.models.tuner import Method

# The data sets of the papers, by how many classes they have.
BY_CLASSES = {15: 'pb_t50_rs', 40: 'modelnet40'}
# Files of configs/ that have them as variants: of backbones, and of methods.
PLAIN = ('act', 'maskpoint', 'pcp_mae', 'point_bert', 'point_femae', 'point_m2ae', 'point_mae')
FULL = {**{name: f'full_{name}' for name in PLAIN}, 'recon_two_stream': 'full_recon'}
OF_TABLES = ('dapt', 'gaprompt', 'idpt', 'pointgst', 'pointlora', 'ppt', 'stag', 'vpt')


def method_of(fit: Fit) -> str | None:
    """The method whose names account for every key that a backbone leaves over; None without one.

    Sizes and options of the method are not looked at. `fit` is of the file and the backbone.
    """
    if not fit.unexpected:
        return None
    lacking = {line.split()[0].rstrip(':') for line in (*fit.missing, *fit.misshapen)}
    for name in plugins.available('methods'):
        method = plugins.load('methods', name).METHOD
        # A reference that puts a module around a map renames the map.
        inner = method.torch_inside.values()
        left = {
            '.'.join(part for part in key.split('.') if part not in inner)
            for key in fit.unexpected
            if not _is_own(key, method)
        }
        if left == lacking:
            return name
    return None


def how_to_evaluate(source: str, method: str, backbone: str, classes: int | None) -> list[str]:
    """The command that evaluates a fine-tuned file, in a line; [] of a file without a head."""
    if classes is None:
        return []
    dataset = BY_CLASSES.get(classes)
    config = ''
    if method == 'full' and dataset and backbone in FULL:
        config = f'configs/{FULL[backbone]}.py:{dataset}'
    elif f'{backbone}_{dataset}' in papers.TUNED and method in OF_TABLES:
        config = f'configs/{method}.py:{backbone}_{dataset}'
    if not config:
        return [
            'evaluate it with: point-ft evaluate --checkpoint=FILE --config=CONFIG, where CONFIG '
            f'names {backbone}, the method {method} and data of {classes} classes'
        ]
    others = ' (or another of its data sets)' if classes == 15 else ''
    return [
        f'evaluate it with: point-ft evaluate --checkpoint={source} --config={config} '
        f'--config.data.root=DATA{others}'
    ]


def _is_own(key: str, method: Method) -> bool:
    """Whether a key has a name of the method's own."""
    patterns = [_pattern(name) for name in method.torch_names.values()]
    return key.startswith(tuple(method.torch_twins)) or any(p.fullmatch(key) for p in patterns)


def _pattern(name: str) -> re.Pattern:
    """What fits the keys of a module or a leaf that a table names."""
    numbered = re.sub(r'\\\{\w+\\\}', r'\\d+', re.escape(name))
    return re.compile(rf'{numbered}(\.\w+)?')
