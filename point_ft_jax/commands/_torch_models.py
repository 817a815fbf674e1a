"""The same models in plain PyTorch, which `point-ft benchmark --against=torch` times beside ours.

They are written as PyTorch code of this field is: convolutions of kernel 1 in the tokenizer,
attention as two products around a softmax, farthest points in a loop. Weights are random, and what
is frozen has `requires_grad=False`, so that PyTorch keeps nothing for it. A frozen tokenizer
normalises with running statistics.
"""

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

METHODS = ('full', 'linear_probe', 'dapt', 'idpt')
NEIGHBOURS = 20  # of a patch in IDPT's graphs
RANK = 64  # of DAPT's adapters


def farthest_points(points: Tensor, count: int) -> Tensor:
    """Indices [B, count] of points [B, N, 3], each the farthest from those before it."""
    batch, size, _ = points.shape
    planes = [points[..., axis].contiguous() for axis in range(3)]
    nearest = torch.full((batch, size), math.inf, device=points.device)
    last = torch.zeros((batch, 1), dtype=torch.long, device=points.device)
    picks = []
    for _ in range(count):
        picks.append(last)
        x, y, z = ((plane - plane.gather(1, last)) ** 2 for plane in planes)
        nearest = torch.minimum(nearest, x + y + z)
        last = nearest.argmax(1, keepdim=True)
    return torch.cat(picks, 1)


def take(values: Tensor, indices: Tensor) -> Tensor:
    """Rows [B, ..., C] of values [B, N, C] at indices [B, ...]."""
    rows = torch.arange(len(values), device=values.device)
    return values[rows.view(-1, *(1,) * (indices.ndim - 1)), indices]


@torch.no_grad()
def group(points: Tensor, count: int, size: int) -> tuple[Tensor, Tensor]:
    """Centres [B, G, 3], and the indices [B, G, K] of the points nearest to each."""
    centers = take(points, farthest_points(points, count))
    distances = torch.cdist(centers, points, compute_mode='donot_use_mm_for_euclid_dist')
    return centers, distances.topk(size, largest=False).indices


class Tokenizer(nn.Module):
    """The mini-PointNet: [B, G, K, C] to [B, G, width]."""

    def __init__(self, channels: int, widths: Sequence[int], width: int) -> None:
        super().__init__()
        a, b, c = widths
        self.first = nn.Sequential(
            nn.Conv1d(channels, a, 1), nn.BatchNorm1d(a), nn.ReLU(inplace=True), nn.Conv1d(a, b, 1)
        )
        self.second = nn.Sequential(
            nn.Conv1d(2 * b, c, 1), nn.BatchNorm1d(c), nn.ReLU(inplace=True), nn.Conv1d(c, width, 1)
        )

    def forward(self, groups: Tensor) -> Tensor:
        batch, count, size, channels = groups.shape
        x = self.first(groups.reshape(-1, size, channels).transpose(1, 2))
        x = torch.cat([x.amax(2, keepdim=True).expand(-1, -1, size), x], 1)
        return self.second(x).amax(2).reshape(batch, count, -1)


class ScaleShift(nn.Module):
    """gamma * x + beta."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.gamma, self.beta = nn.Parameter(torch.ones(width)), nn.Parameter(torch.zeros(width))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.gamma + self.beta


class Adapter(nn.Module):
    """DAPT's dynamic adapter, [B, N, D] to [B, N, D]."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm, self.scale = nn.LayerNorm(width), nn.Linear(width, 1)
        self.down, self.up = nn.Linear(width, RANK), nn.Linear(RANK, width)

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm(x)
        return functional.relu(self.scale(x)) * self.up(functional.gelu(self.down(x)))


class Block(nn.Module):
    """A pre-norm block; with `dapt` scales and shifts follow its layers, and it makes a prompt."""

    def __init__(self, width: int, heads: int, dapt: bool = False) -> None:
        super().__init__()

        def layer(module: nn.Module, features: int) -> nn.Module:
            return nn.Sequential(module, ScaleShift(features)) if dapt else module

        self.heads = heads
        self.norm1, self.norm2 = (layer(nn.LayerNorm(width), width) for _ in range(2))
        self.qkv = layer(nn.Linear(width, 3 * width, bias=False), 3 * width)
        self.proj = layer(nn.Linear(width, width), width)
        self.fc1 = layer(nn.Linear(width, 4 * width), 4 * width)
        self.fc2 = layer(nn.Linear(4 * width, width), width)
        self.adapter = Adapter(width) if dapt else None
        self.prompt = ScaleShift(width) if dapt else None

    def forward(self, x: Tensor, hidden: Tensor | None = None) -> Tensor:
        x = x + self.attend(self.norm1(x), hidden)
        h = self.norm2(x)
        update = self.fc2(functional.gelu(self.fc1(h)))
        if self.adapter is None:
            return x + update
        delta = self.adapter(h)
        prompt = self.prompt(functional.gelu(delta).mean(1, keepdim=True))
        x = x + update + delta
        return torch.cat([x[:, :1], prompt, x[:, 1:]], 1)

    def attend(self, x: Tensor, hidden: Tensor | None) -> Tensor:
        batch, length, width = x.shape
        q, k, v = self.qkv(x).reshape(batch, length, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        scores = (q * q.shape[-1] ** -0.5) @ k.transpose(-2, -1)
        if hidden is not None:
            scores = scores.masked_fill(hidden, torch.finfo(scores.dtype).min)
        return self.proj((scores.softmax(-1) @ v).transpose(1, 2).reshape(batch, length, width))


class Generator(nn.Module):
    """IDPT's prompt: three edge convolutions, each over the graph of its input, and a mix."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.edges = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(2 * width, width, 1, bias=False),
                nn.BatchNorm2d(width),
                nn.LeakyReLU(0.2, inplace=True),
            )
            for _ in range(3)
        )
        self.mix = nn.Sequential(
            nn.Conv1d(3 * width, width, 1, bias=False),
            nn.BatchNorm1d(width),
            nn.LeakyReLU(0.2, inplace=True),
        )

    def forward(self, patches: Tensor) -> Tensor:
        x, stages = patches, []
        for edge in self.edges:
            with torch.no_grad():
                near = torch.cdist(x, x).topk(NEIGHBOURS, largest=False).indices
            own = x[:, :, None].expand(-1, -1, NEIGHBOURS, -1)
            pairs = torch.cat([take(x, near) - own, own], -1)
            x = edge(pairs.permute(0, 3, 1, 2)).amax(3).transpose(1, 2)
            stages.append(x)
        return self.mix(torch.cat(stages, -1).transpose(1, 2)).amax(2)[:, None]


class Transformer(nn.Module):
    """Point-MAE's graph (ReCon's is the same size): [B, N, 3] to logits [B, classes]."""

    def __init__(
        self,
        method: str,
        classes: int,
        groups: int,
        size: int,
        width: int = 384,
        depth: int = 12,
        heads: int = 6,
    ) -> None:
        super().__init__()
        self.shape, self.method = (groups, size), method
        self.tokenizer = Tokenizer(3, (128, 256, 512), width)
        self.positions = nn.Sequential(nn.Linear(3, 128), nn.GELU(), nn.Linear(128, width))
        self.cls = nn.Parameter(torch.zeros(1, 1, width))
        self.cls_position = nn.Parameter(torch.zeros(1, 1, width))
        self.blocks = nn.ModuleList(Block(width, heads, method == 'dapt') for _ in range(depth))
        self.norm = nn.LayerNorm(width)
        self.generator = Generator(width) if method == 'idpt' else None
        read = 3 if method in ('dapt', 'idpt') else 2
        self.head = make_head(read * width, classes)
        if method != 'full':
            self._freeze()

    def _freeze(self) -> None:
        own = (ScaleShift, Adapter, Generator)
        tuned = {id(p) for m in self.modules() if isinstance(m, own) for p in m.parameters()}
        tuned |= {id(p) for p in (*self.head.parameters(), self.cls, self.cls_position)}
        for parameter in self.parameters():
            parameter.requires_grad_(id(parameter) in tuned)

    def train(self, mode: bool = True) -> 'Transformer':
        super().train(mode)
        self.tokenizer.train(mode and self.method == 'full')
        return self

    def forward(self, points: Tensor) -> Tensor:
        centers, near = group(points, *self.shape)
        patches = self.tokenizer(take(points, near) - centers[:, :, None])
        positions = self.positions(centers)
        x = torch.cat([self.cls.expand(len(points), -1, -1), patches], 1)
        places = torch.cat([self.cls_position.expand(len(points), -1, -1), positions], 1)
        if self.method == 'dapt':  # which adds them once
            x, places = x + places, None
        for index, block in enumerate(self.blocks):
            if self.generator is not None and index == len(self.blocks) - 1:
                prompt = self.generator(x[:, 1:])
                x = torch.cat([x[:, :1], prompt, x[:, 1:]], 1)
                places = torch.cat([places[:, :1], torch.zeros_like(prompt), places[:, 1:]], 1)
            x = block(x if places is None else x + places)
        x = self.norm(x)
        first = x.shape[1] - self.shape[0]
        read = [x[:, 0], x[:, first:].amax(1)]
        if first > 1:
            read.insert(1, x[:, 1:first].mean(1))
        return self.head(torch.cat(read, -1))


class Hierarchy(nn.Module):
    """Point-M2AE's graph: three levels of tokens, attention within a radius."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        widths, self.sizes = (96, 192, 384), ((512, 16), (256, 8), (64, 8))
        self.radii = (0.32, 0.64, 1.28)
        inner = ((3, (128, 256, 512)), (96, (96, 96, 192)), (192, (192, 192, 384)))
        self.tokenizers = nn.ModuleList(
            Tokenizer(*maps, width) for maps, width in zip(inner, widths, strict=True)
        )
        self.positions = nn.ModuleList(
            nn.Sequential(nn.Linear(3, width), nn.GELU(), nn.Linear(width, width))
            for width in widths
        )
        self.levels = nn.ModuleList(
            nn.ModuleList(Block(width, 6) for _ in range(5)) for width in widths
        )
        self.norm = nn.LayerNorm(widths[-1])
        self.head = make_head(2 * widths[-1], classes)

    def forward(self, points: Tensor) -> Tensor:
        finer, x = points, None
        for level, (count, size) in enumerate(self.sizes):
            centers, near = group(finer, count, size)
            groups = take(points, near) - centers[:, :, None] if x is None else take(x, near)
            x = self.tokenizers[level](groups)
            hidden = (torch.cdist(centers, centers) >= self.radii[level])[:, None]
            positions = self.positions[level](centers)
            for block in self.levels[level]:
                x = block(x + positions, hidden)
            finer = centers
        x = self.norm(x)
        return self.head(torch.cat([x.mean(1), x.amax(1)], -1))


def make_head(features: int, classes: int) -> nn.Module:
    """The published head: two hidden layers of 256."""
    return nn.Sequential(
        *(nn.Linear(features, 256), nn.BatchNorm1d(256), nn.ReLU(), nn.Dropout(0.5)),
        *(nn.Linear(256, 256), nn.BatchNorm1d(256), nn.ReLU(), nn.Dropout(0.5)),
        nn.Linear(256, classes),
    )


def training_step(model: nn.Module, points: Tensor, labels: Tensor) -> Callable[[], None]:
    """A function that takes one step: scale and translate, loss, gradient, clip, AdamW."""
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=5e-4, weight_decay=0.05)
    model.train()

    def run() -> None:
        scale = torch.empty(len(points), 1, 3).uniform_(2 / 3, 3 / 2)
        moved = points * scale + torch.empty(len(points), 1, 3).uniform_(-0.2, 0.2)
        optimizer.zero_grad(set_to_none=True)
        loss = functional.cross_entropy(model(moved), labels)
        loss.backward()
        nn.utils.clip_grad_norm_(trained, 10.0)
        optimizer.step()
        loss.item()

    return run


def forward_pass(model: nn.Module, points: Tensor) -> Callable[[], None]:
    """A function that evaluates the clouds once."""

    def run() -> None:
        model.eval()
        with torch.inference_mode():
            model(points).sum().item()

    return run


def stored_bytes(model: nn.Module, points: Tensor, labels: Tensor) -> int:
    """What PyTorch stores for the backward pass: bytes of the distinct storages, weights aside."""
    weights = {p.untyped_storage().data_ptr() for p in model.parameters()}
    kept: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    model.train()
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        functional.cross_entropy(model(points), labels)
    return sum(kept.values())
