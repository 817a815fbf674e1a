"""Makes PyTorch checkpoint archives for tests: right ones, and wrong ones."""

import io
import zipfile
from collections.abc import Mapping

from point_ft_jax.checkpoints import torch_pickle


def zipped(entries: Mapping[str, bytes], compression: int = zipfile.ZIP_STORED) -> bytes:
    """A zip archive of the entries under the folder `root`."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, 'w', compression) as file:
        for name, data in entries.items():
            file.writestr(f'root/{name}', data)
    return stream.getvalue()


def unzipped(data: bytes) -> dict[str, bytes]:
    """The entries of such an archive, whatever its folder is called."""
    with zipfile.ZipFile(io.BytesIO(data)) as file:
        return {name.partition('/')[2]: file.read(name) for name in file.namelist()}


def checkpoint(content: object, entries: Mapping[str, bytes] | None = None) -> bytes:
    """The checkpoint of nested values and arrays, with further or other entries."""
    data, arrays = torch_pickle.dump(content)
    storages = {f'data/{key}': array.tobytes() for key, array in enumerate(arrays)}
    return zipped({'data.pkl': data} | storages | dict(entries or {}))
