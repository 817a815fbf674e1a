"""What the benchmark compares with, where it is installed: other libraries, and plain CUDA.

Each maker returns a function that computes on the clouds once and waits for the result, which it
returns as a numpy array; or None where the library, or the device, is missing.
"""

import concurrent.futures
import ctypes
import functools
import importlib.util
import os
import pathlib
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from typing import Any

import numpy as np

Run = Callable[[], np.ndarray]
SOURCE = pathlib.Path(__file__).parent / 'classic_fps.cu'


def installed(*modules: str) -> bool:
    return all(importlib.util.find_spec(module) for module in modules)


def has_torch(gpu: bool) -> bool:
    """Whether torch is installed, and for a GPU where one is measured."""
    if not installed('torch'):
        return False
    import torch

    return torch.cuda.is_available() or not gpu


def missing(gpu: bool) -> list[str]:
    """What there is to compare with, and is not installed here."""
    here = {'torch for CUDA' if gpu else 'torch': has_torch(gpu)}
    if gpu:
        here['the classical CUDA kernel (no nvcc on the path)'] = bool(shutil.which('nvcc'))
    else:
        here |= {'fpsample': installed('fpsample'), "scipy's KD-tree": installed('scipy')}
    return [name for name, there in here.items() if not there]


def fps_peers(points: np.ndarray, samples: int, gpu: bool) -> dict[str, Run | None]:
    """Of farthest-point sampling, without the near-origin skip, which costs nothing to speak of."""
    torch = has_torch(gpu)
    return {
        'torch': functools.partial(_torch_fps, _torch(points, gpu), samples) if torch else None,
        'torch, planes': (
            functools.partial(_torch_fps_planes, _torch(points, gpu), samples) if torch else None
        ),
        'fpsample': _fpsample(points, samples) if installed('fpsample') and not gpu else None,
    }


def knn_peers(queries: np.ndarray, points: np.ndarray, k: int, gpu: bool) -> dict[str, Run | None]:
    """Of k nearest neighbours."""
    tensors = (_torch(queries, gpu), _torch(points, gpu)) if has_torch(gpu) else None
    return {
        'torch': functools.partial(_torch_knn, *tensors, k) if tensors else None,
        **(_kd_trees(queries, points, k) if installed('scipy') and not gpu else {}),
    }


def _torch(array: np.ndarray, gpu: bool) -> Any:
    import torch

    return torch.from_numpy(array).to('cuda' if gpu else 'cpu')


def _torch_fps(points: Any, samples: int) -> np.ndarray:
    """As most PyTorch code has it: points [B, N, 3], and `argmax`."""
    import torch

    batch, size, _ = points.shape
    nearest = torch.full((batch, size), 1e10, device=points.device)
    last = torch.zeros(batch, dtype=torch.long, device=points.device)
    rows = torch.arange(batch, device=points.device)
    picks = torch.zeros((batch, samples), dtype=torch.long, device=points.device)
    for step in range(samples):
        picks[:, step] = last
        distance = ((points - points[rows, last][:, None]) ** 2).sum(-1)
        nearest = torch.minimum(nearest, distance)
        last = nearest.argmax(1)
    return picks.cpu().numpy()


def _torch_fps_planes(points: Any, samples: int) -> np.ndarray:
    """The same on three planes [B, N]."""
    import torch

    batch, size, _ = points.shape
    planes = [points[..., axis].contiguous() for axis in range(3)]
    nearest = torch.full((batch, size), 1e10, device=points.device)
    last = torch.zeros((batch, 1), dtype=torch.long, device=points.device)
    picks = torch.zeros((batch, samples), dtype=torch.long, device=points.device)
    for step in range(samples):
        picks[:, step : step + 1] = last
        x, y, z = ((plane - plane.gather(1, last)) ** 2 for plane in planes)
        nearest = torch.minimum(nearest, x + y + z)
        last = nearest.argmax(1, keepdim=True)
    return picks.cpu().numpy()


def _torch_knn(queries: Any, points: Any, k: int) -> np.ndarray:
    import torch

    distances = torch.cdist(queries, points, compute_mode='donot_use_mm_for_euclid_dist')
    return distances.topk(k, largest=False).indices.cpu().numpy()


def _fpsample(points: np.ndarray, samples: int) -> Run:
    """The library's vanilla sampling, over a thread a core."""
    import fpsample

    return _over_threads(lambda p: fpsample.fps_sampling(p, samples, start_idx=0), points)


def _kd_trees(queries: np.ndarray, points: np.ndarray, k: int) -> dict[str, Run]:
    """Building the trees included, as each cloud is asked once; on all cores, in two ways."""
    from scipy.spatial import cKDTree

    def one(cloud: np.ndarray, asked: np.ndarray, workers: int) -> np.ndarray:
        return cKDTree(cloud).query(asked, k, workers=workers)[1]

    return {
        'KD-tree, workers=-1': lambda: np.stack(
            list(map(one, points, queries, [-1] * len(points)))
        ),
        'KD-tree, a cloud a core': _over_threads(
            functools.partial(one, workers=1), points, queries
        ),
    }


def _over_threads(function: Callable[..., np.ndarray], *arrays: np.ndarray) -> Run:
    threads = concurrent.futures.ThreadPoolExecutor(len(os.sched_getaffinity(0)))
    return lambda: np.stack(list(threads.map(function, *arrays)))


def classic_cuda(
    points: np.ndarray, samples: int, rounds: int
) -> tuple[np.ndarray, list[float]] | None:
    """Indices, and the seconds of each round by CUDA's clock; None without nvcc."""
    if not (nvcc := shutil.which('nvcc')):
        return None
    with tempfile.TemporaryDirectory() as folder:
        run = ctypes.CDLL(str(build_classic(nvcc, pathlib.Path(folder)))).classic_fps
    batch, size, _ = points.shape
    points = np.ascontiguousarray(points)
    picks = np.zeros((batch, samples), np.int32)
    milliseconds = np.zeros(rounds, np.float32)
    pointers = [a.ctypes.data_as(ctypes.c_void_p) for a in (points, picks, milliseconds)]
    if error := run(pointers[0], batch, size, samples, rounds, *pointers[1:]):
        raise RuntimeError(f'the CUDA kernel failed with error {error}')
    return picks, [float(ms) / 1e3 for ms in milliseconds]


def build_classic(nvcc: str, folder: pathlib.Path) -> pathlib.Path:
    """Builds the classical kernel into a library in `folder`, for sm_90."""
    library = folder / 'classic_fps.so'
    flags = ['-O3', '-arch=sm_90', '-shared', '-Xcompiler', '-fPIC']
    subprocess.run([nvcc, *flags, str(SOURCE), '-o', str(library)], check=True)
    return library
