"""The shapes that models here sample and group at, shared by tests, benchmark and compilations."""

import dataclasses

BATCHES = (32, 128)


@dataclasses.dataclass(frozen=True)
class Case:
    """Clouds of `size` points, and the levels sampled from them.

    Attributes:
        size: N, the points of a cloud.
        levels: the samples G and neighbours K of each level; a level samples the one before.
    """

    size: int
    levels: tuple[tuple[int, int], ...]

    def operations(self) -> list[tuple[int, int, int]]:
        """N, G and K of each level."""
        sizes = [self.size, *(samples for samples, _ in self.levels)]
        return [(n, g, k) for n, (g, k) in zip(sizes, self.levels, strict=False)]


CASES = {
    '1024': Case(1024, ((64, 32),)),
    '2048': Case(2048, ((128, 32),)),
    'hierarchical': Case(2048, ((512, 16), (256, 8), (64, 8))),
    '8192': Case(8192, ((512, 32),)),
}
