"""What a compiled program costs, by what its compiler says and dumps."""

import pathlib
import re

import jax

COLLECTIVES = (
    'all-gather',
    'all-reduce',
    'all-to-all',
    'collective-permute',
    'reduce-scatter',
)


def costs(compiled: jax.stages.Compiled) -> dict[str, float | dict[str, int]]:
    """Bytes by kind and operations, of one device; and the collectives, by name."""
    memory = compiled.memory_analysis()
    analysis = compiled.cost_analysis() or {}
    text = compiled.as_text()
    found = {name: len(re.findall(rf' {name}(?:-start)?\(', text)) for name in COLLECTIVES}
    flops = analysis.get('flops')
    return {
        'argument_bytes': memory.argument_size_in_bytes,
        'output_bytes': memory.output_size_in_bytes,
        'alias_bytes': memory.alias_size_in_bytes,
        'temporary_bytes': memory.temp_size_in_bytes,
        **({'flops': flops} if flops else {}),
        'collectives': {name: count for name, count in found.items() if count},
    }


def kernels(compiled: jax.stages.Compiled) -> int:
    """How many Mosaic kernels a program calls."""
    return len(
        re.findall(r'custom_call_target="(?:tpu_custom_call|mosaic_gpu)', compiled.as_text())
    )


def static_cycles(folder: pathlib.Path, kernel: str) -> int:
    """The cycles that a round of a TPU kernel's innermost loop takes at least.

    Its instruction bundles, or the longest chain of dependent ones, whichever is longer; from what
    the compiler dumped into `folder`. Nothing that is waited for beyond that chain is in it.
    """
    bundles = _one(folder, f'*-{kernel}*-final_bundles.txt')
    depth = max(map(len, re.findall(r'^.{0,20}: (>+) ', bundles, re.MULTILINE)))
    count = len(re.findall(rf'^.{{0,20}}: {">" * depth} ', bundles, re.MULTILINE))
    # The loop is the region with the most members; its first line is the chain's length.
    chains = re.findall(
        r'members=(\d+).*\n  Length to end: (\d+),', _one(folder, f'*-{kernel}*-critical-path.txt')
    )
    return max(count, int(max(chains, key=lambda chain: int(chain[0]))[1]))


def _one(folder: pathlib.Path, pattern: str) -> str:
    files = [p for p in folder.glob(pattern) if 'schedule-analysis' not in p.name]
    if len(files) != 1:
        raise LookupError(f"{len(files)} files {pattern} in the compiler's dump, expected one")
    return files[0].read_text()


def registers(ptxas: str) -> dict[str, int]:
    """Registers a thread and bytes spilled, the most of any kernel, from what ptxas printed."""
    used = [int(n) for n in re.findall(r'Used (\d+) registers', ptxas)]
    spilled = [int(n) for n in re.findall(r'(\d+) bytes spill (?:stores|loads)', ptxas)]
    return {'registers': max(used), 'spilled_bytes': max(spilled)} if used and spilled else {}
