"""A small job of every kind, to be run in a process of its own: KIND FOLDER [RUN]."""

import pathlib
import sys

from ml_collections import ConfigDict


def config_of(kind: str, folder: pathlib.Path, run: str = '') -> ConfigDict:
    """The config of a job; `run` is a finished run, of those that judge one."""
    from small import tiny

    from configs import corruptions, few_shot, linear_svm, pretrain, wise_ft_lp

    short = {'train.epochs': 8, 'train.save_every_seconds': 0.0}
    if kind == 'finetune':
        return tiny(folder, **short)
    if kind == 'population':
        return tiny(folder, **short, population=2)
    if kind == 'cross_validation':
        return tiny(folder, **{**short, 'train.epochs': 3, 'validation.folds': 3})
    if kind == 'part_segmentation':
        config = tiny(folder, **short)
        config.task = 'part_segmentation'
        config.points = 48
        config.model.backbone = 'point_mae'
        config.model.geometry.update(depth=3)
        config.model.head = ConfigDict({'propagation': (16, 12), 'widths': (12, 8)})
        return config
    if kind == 'pretrain':
        config = pretrain.get_config()
        config.pretrain.decoder = ConfigDict({'decoder_depth': 1, 'decoder_heads': 2})
        config.train.update(epochs=8, batch_size=15, save_every_seconds=0.0)
    elif kind == 'robust':
        config = wise_ft_lp.get_config('recon')
        config.seeds = (0,)
        config.pretraining = ConfigDict()
        config.train.update(epochs=4, batch_size=15, save_every_seconds=0.0)
        config.validation.fraction = 0.25
        config.wise.alphas = (0.0, 0.5, 1.0)
        config.robust.settings = ('obj_only',)
        config.robust.cad = ''
        far = {'name': 'shapes', 'style': 'cad', 'num_points': 64, 'seed': 2}
        config.robust.transfer = ConfigDict({'far': {**far, 'train_size': 45, 'test_size': 30}})
        config.few_shot.update(ways=(3,), shots=(2,), queries=2, folds=2)
        config.corruptions.update(severities=(2,), clouds=15)
        config.probe.epochs = 2
    elif kind == 'few_shot':
        config = few_shot.get_config()
        config.few_shot.update(ways=3, shots=2, queries=2, folds=3, by='tuning')
        config.train.update(epochs=3, save_every_seconds=0.0)
    elif kind == 'linear_svm':
        config = linear_svm.get_config()
    else:
        config = corruptions.get_config()
        config.run = run
    config.optim.warmup = 1 if config.train.epochs > 1 else 0
    config.init.checkpoint = ''
    config.folder = str(folder)
    config.points = 64
    config.data = ConfigDict(
        {**config.data.to_dict(), 'num_points': 64, 'train_size': 60, 'test_size': 30}
    )
    config.model.geometry = ConfigDict(
        {'width': 12, 'heads': 2, 'depth': 1, 'num_groups': 8, 'group_size': 4, 'drop_path': 0.0}
    )
    return config


def main() -> None:
    """Runs the job that the arguments name."""
    from point_ft_jax.experiments import command_line

    command_line.start()
    from point_ft_jax.experiments import jobs

    print('started', flush=True)
    kind, folder, *run = sys.argv[1:]
    jobs.run(config_of(kind, pathlib.Path(folder), *run), 'job')


if __name__ == '__main__':
    from point_ft_jax.experiments import command_line

    command_line.guarded(main)
