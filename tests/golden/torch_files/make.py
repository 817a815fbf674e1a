"""How all fixtures but `zip.pth` and `legacy.pth` were made, with PyTorch 2.13.

Not part of the tests, which need no PyTorch: run it in an environment that has one.
"""

import argparse
import collections
import pathlib
import sys
import types

import numpy as np
import torch

HERE = pathlib.Path(__file__).parent
DTYPES = 'float16 bfloat16 float32 float64 int8 int16 int32 int64 uint8 bool uint16 uint32 uint64'


class Metric:
    """A class of the project that wrote the checkpoint; no reader of the file has it."""

    def __init__(self, acc):
        self.acc = acc


class Config(dict):
    """A dict with attributes."""

    def __init__(self, **entries):
        super().__init__(**entries)
        self.__dict__.update(entries)


def linear() -> torch.nn.Linear:
    module = torch.nn.Linear(2, 2)
    with torch.no_grad():
        module.weight.copy_(torch.tensor([[1.0, 2.0], [3.0, 4.0]]))
        module.bias.copy_(torch.tensor([5.0, 6.0]))
    return module


def weights() -> dict:
    base = torch.arange(24, dtype=torch.float32)
    tensors = collections.OrderedDict(
        whole=base.view(4, 6),
        transposed=base.view(4, 6).T,
        rows=base.view(4, 6)[1:3],
        columns=base.view(4, 6)[:, 2:5:2],
        permuted=base.view(2, 3, 4).permute(2, 0, 1),
        expanded=torch.tensor([7.0, 8.0])[:, None].expand(2, 3),
        scalar=torch.tensor(2.5),
        empty=torch.empty(0, 3),
        parameter=torch.nn.Parameter(torch.tensor([1.5, -1.5])),
        tagged=torch.ones(2),
        complex64=torch.tensor([1 + 2j]),
    )
    tensors['tagged'].tag = 'a tensor with an attribute'
    for name in DTYPES.split():
        tensors[name] = torch.tensor([0, 1, 2]).to(getattr(torch, name))
    tensors._metadata = {'': {'version': 1}}
    return tensors


def content() -> dict:
    module = linear()
    optimizer = torch.optim.AdamW(module.parameters(), lr=0.5)
    module(torch.ones(1, 2)).sum().backward()
    optimizer.step()
    return {
        'model': weights(),
        'optimizer': optimizer.state_dict(),
        'epoch': 300,
        'metrics': Metric(np.float64(85.18)),
        'best_metrics': Metric(torch.tensor(85.25)),
        'scalars': [np.float64(0.1), np.float32(0.5), np.int64(-3), np.bool_(True), np.str_('abc')],
        'arrays': {
            'rows': np.arange(6, dtype=np.float32).reshape(2, 3),
            'columns': np.asfortranarray(np.arange(6.0).reshape(2, 3)),
            'none': np.zeros((0, 2)),
            'flags': np.array([True, False]),
        },
        'args': argparse.Namespace(root=pathlib.PurePosixPath('a/b'), device=torch.device('cpu')),
        'config': Config(depth=12, sizes=[1, 2]),
        'plain': [{1, 2}, b'\x00\xff', b'', 1 + 2j, torch.Size([2, 3]), torch.float32, None],
        'groups': collections.defaultdict(list, a=[1]),
    }


def main() -> None:
    runner = types.ModuleType('runner')
    for cls in (Metric, Config):
        cls.__module__ = 'runner'
        setattr(runner, cls.__name__, cls)
    sys.modules['runner'] = runner
    torch.save(content(), HERE / 'rich_zip.pth')
    for name, protocol in (('rich_legacy', 2), ('rich_legacy_protocol5', 5)):
        path = HERE / f'{name}.pth'
        torch.save(content(), path, pickle_protocol=protocol, _use_new_zipfile_serialization=False)
    torch.save(linear(), HERE / 'module.pth')
    torch.save({'x': torch.eye(2).to_sparse()}, HERE / 'sparse.pth')
    torch.save({'x': torch.tensor([1 + 2j]).conj()}, HERE / 'conj.pth')


if __name__ == '__main__':
    main()
