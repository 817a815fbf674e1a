"""What a backbone plug-in is."""

import dataclasses
from collections.abc import Callable, Mapping

import flax.linen as nn

from point_ft_jax.models.part_heads import TapHead


@dataclasses.dataclass(frozen=True)
class Segmentation:
    """How a backbone's published part segmenter differs from its classifier.

    Attributes:
        head: makes the head; see `part_heads`. Its fields are options of a config.
        readout: what the head reads of the whole cloud; see `readout.read_stages`.
        geometry: fields of the backbone that differ.
    """

    head: Callable[..., nn.Module] = TapHead
    readout: tuple[str, ...] = ('patches_max', 'patches_mean')
    geometry: Mapping[str, object] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Backbone:
    """A backbone, as a file in `backbones/` defines it under the name BACKBONE.

    The module that `build` makes has fields `input_channels`, `fill`, `dtype`, `memory`,
    `drop_path` and `hold_statistics`, and properties
    `fewest_points` (that a cloud must have) and `first_map` (the path of the kernel that takes a
    point's channels). `module(points, tuner, train)` returns the normalised `Tokens`, and
    `module.stages(points, tuner, train)` a list of them for part segmentation; both call
    the tuner's seams. `point_transformer` and `hierarchical` are such modules.

    Attributes:
        build: makes the module from a geometry (its fields as keywords).
        variants: named sizes: fields that differ from the defaults; 'base' is the published model.
        readout: what the published classifier reads; see `readout.read_out`.
        head: the published head, as keywords of `classification_head.ClassificationHead`.
        segmentation: the same backbone as part segmenter.
        torch_names: tree paths below 'backbone' to PyTorch names; `{block}` stands for the number
            in 'block_3'. A path of a module renames all its leaves, a path of a leaf that one.
        conv: PyTorch names (`fnmatch`) of maps that carry a trailing axis of one: convolutions.
        torch_twins: second names to first, as a method's `torch_twins`.
        prefixes: the prefixes below which a pre-training file keeps this backbone, best first.
        starts_from: other backbones from whose pre-trained weights this one is published to start.
        may_lack: PyTorch names that a pre-training file of this backbone legitimately lacks.
        leaves: PyTorch names in such files that are no part of it: decoders, teachers, other heads.
        told_apart: PyTorch names to what it means that a file has another shape there: the model
            that the file is of.
        undecayed: patterns (`fnmatch`) over the tree paths below 'backbone' of what weight decay
            spares besides vectors: what has 'token' in its PyTorch name; see `optimizer.decays`.
        batch_norms: tree paths below 'backbone' of its batch norms, those of the first block or
            level standing for all: where none of them trains, their running statistics can be held.
        pretraining: fields of the module that differ while a masked autoencoder pre-trains it; None
            where none has been published.
        autoencoder: which, a name of `autoencoders.build.KINDS`.
    """

    build: Callable[..., nn.Module]
    variants: Mapping[str, Mapping[str, object]]
    readout: tuple[str, ...]
    torch_names: Mapping[str, str]
    segmentation: Segmentation = Segmentation()
    head: Mapping[str, object] = dataclasses.field(default_factory=dict)
    conv: tuple[str, ...] = ('encoder.*',)
    torch_twins: Mapping[str, str] = dataclasses.field(default_factory=dict)
    prefixes: tuple[str, ...] = ()
    starts_from: tuple[str, ...] = ()
    may_lack: tuple[str, ...] = ()
    leaves: tuple[str, ...] = ()
    told_apart: Mapping[str, str] = dataclasses.field(default_factory=dict)
    undecayed: tuple[str, ...] = ('cls_token',)
    batch_norms: tuple[str, ...] = ('tokenizer/first_norm', 'tokenizer/second_norm')
    pretraining: Mapping[str, object] | None = None
    autoencoder: str = 'masked'


SIZES = {
    'base': {},
    'small': {'width': 256, 'heads': 4},
    'tiny': {'width': 192, 'heads': 3},
}

# In a fine-tuned file that only lends its backbone.
FINE_TUNED_HEAD = (
    'cls_head_finetune.*',
    'label_conv*',
    'propagation*',
    'convs*',
    'bns*',
    'conv[12].*',
    'bn1.*',
    'dgcnn_pro_*',
)
# Part segmentation as Point-MAE has it: without a class token.
WITHOUT_CLS = Segmentation(geometry={'global_tokens': ()})
CLS = ('cls_token', 'cls_pos')
