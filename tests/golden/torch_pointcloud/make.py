"""Makes this folder's fixtures with torch-pointcloud 0.0.18, from PyPI, and torch 2.13.

    python make.py FOLDER

Weights are drawn from their keys, as `golden_models.weight` does, so that states.json has but keys
and shapes; outputs.npz has clouds and logits (of part segmenters every 16th point's). One state is
written as a file, by the safetensors package in bfloat16.

The library's searches need compiled extensions, which have no wheel for every platform: plain
PyTorch stands in for them.
"""

import json
import math
import pathlib
import sys
import zlib

import numpy as np
import torch
import torch_geometric.nn.pool as pool
from safetensors.torch import save_file

CLOUDS, POINTS = 3, 128
CATEGORIES = (0, 7, 15)
SMALL = {'embed_dim': 24, 'num_heads': 2, 'num_groups': 16, 'group_size': 8}
LEVELS = {
    'encoder_dims': (12, 24, 36),
    'encoder_depths': (1, 1, 1),
    'num_heads': 2,
    'num_groups': (32, 16, 8),
    'group_sizes': (8, 4, 4),
}
NARROW = {'encoder_local_channels': (8, 16), 'encoder_global_channels': (32,)}


def fps(x, batch, ratio, random_start, batch_size=None):
    assert not random_start
    chosen = []
    for cloud in range(int(batch.max()) + 1):
        rows = (batch == cloud).nonzero()[:, 0]
        points = x[rows]
        own, far = [0], torch.full((len(rows),), float('inf'))
        while len(own) < math.ceil(ratio * len(rows) - 1e-9):
            far = torch.minimum(far, ((points - points[own[-1]]) ** 2).sum(-1))
            own.append(int(far.argmax()))
        chosen.append(rows[own])
    return torch.cat(chosen)


def knn(x, y, k, batch_x, batch_y, **_):
    distances = ((y[:, None] - x[None]) ** 2).sum(-1)
    distances[batch_y[:, None] != batch_x[None]] = float('inf')
    found = distances.topk(k, dim=1, largest=False).indices
    return torch.stack([torch.arange(len(y)).repeat_interleave(k), found.reshape(-1)])


pool.fps, pool.knn = fps, knn  # before the library takes them
from torch_pointcloud.models import point_bert, point_m2ae, point_mae, pointgpt  # noqa: E402

MODELS = {
    'point_mae': (point_mae.PointMAEClassification, 15, {**SMALL, 'depth': 2}),
    'point_mae_parts': (point_mae.PointMAEPartSegmentation, 50, {**SMALL, 'depth': 12}),
    'point_mae_narrow': (point_mae.PointMAEClassification, 15, {**SMALL, **NARROW, 'depth': 1}),
    'point_bert': (point_bert.PointBERTClassification, 15, {**SMALL, 'depth': 2}),
    'point_m2ae': (point_m2ae.PointM2AEClassification, 15, LEVELS),
    'point_m2ae_parts': (point_m2ae.PointM2AEPartSegmentation, 50, LEVELS),
    'pointgpt': (pointgpt.PointGPTClassification, 15, {**SMALL, 'depth': 2, 'decoder_depth': 1}),
}
PRETRAINING = {
    'point_mae_pretraining': point_mae.PointMAEPretraining(
        0, embed_dim=24, num_heads=2, decoder_num_heads=2, encoder_depth=2, decoder_depth=1
    ),
    'point_bert_pretraining': point_bert.PointBERTPretraining(
        0, embed_dim=24, num_heads=2, depth=2
    ),
    'point_m2ae_pretraining': point_m2ae.PointM2AEPretraining(0),
}


def weight(key, shape):
    r = np.random.default_rng([1, zlib.crc32(key.encode())])
    leaf = key.rsplit('.', 1)[-1]
    if leaf == 'num_batches_tracked':
        return np.zeros(shape, np.int64)
    if leaf == 'running_var':
        value = r.uniform(0.5, 1.5, shape)
    elif leaf == 'running_mean':
        value = 0.1 * r.standard_normal(shape)
    elif len(shape) >= 2 and not (len(shape) == 3 and shape[0] == 1):
        value = r.standard_normal(shape) / math.sqrt(math.prod(shape[1:]))
    elif len(shape) == 1 and leaf == 'weight':
        value = 1 + 0.1 * r.standard_normal(shape)
    else:
        value = 0.1 * r.standard_normal(shape)
    return np.asarray(value, np.float32)


def main(folder):
    points = np.random.default_rng(3).uniform(-0.8, 0.8, (CLOUDS, POINTS, 3)).astype(np.float32)
    position = torch.tensor(points.reshape(-1, 3))
    batch = torch.arange(CLOUDS).repeat_interleave(POINTS)
    category = torch.nn.functional.one_hot(torch.tensor(CATEGORIES), 16).float()
    arrays, states = {'points': points, 'categories': np.array(CATEGORIES)}, {}
    for name, (make, classes, options) in MODELS.items():
        model = make(0, classes, **options).eval()
        shapes = {key: tuple(value.shape) for key, value in model.state_dict().items()}
        state = {key: torch.tensor(weight(key, shape)) for key, shape in shapes.items()}
        if name == 'point_mae_narrow':
            state = {k: v.bfloat16() if v.is_floating_point() else v for k, v in state.items()}
            save_file(state, folder / f'{name}.safetensors', {'format': 'pt'})
        model.load_state_dict(state)
        states[name] = shapes
        with torch.no_grad():
            if 'parts' in name:
                logits = model(None, position, batch, category)
                logits = logits.reshape(CLOUDS, POINTS, -1)[:, ::16]
            else:
                logits = model(None, position, batch)
        arrays[name] = logits.numpy()
    for name, model in PRETRAINING.items():
        states[name] = {key: tuple(value.shape) for key, value in model.state_dict().items()}
    text = json.dumps(states, separators=(',', ':')).replace('},', '},\n')
    (folder / 'states.json').write_text(text + '\n')
    np.savez_compressed(folder / 'outputs.npz', **arrays)


if __name__ == '__main__':
    main(pathlib.Path(sys.argv[1]))
