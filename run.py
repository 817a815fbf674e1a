"""Runs the experiment that a config describes.

    python run.py --config=configs/recon_dapt.py

Fields are changed on the command line, --config.train.epochs=5; variants of a config follow a
colon, --config=configs/recon_dapt.py:pb_t50_rs; with --help it says what a config is, its variants
and its fields. A run that was stopped goes on when the same command is given again, or
--config=RUN/config.json; a finished one is read back.
"""

from ml_collections import config_flags

from point_ft_jax.experiments import command_line

CONFIG = config_flags.DEFINE_config_file(
    'config', None, 'A file of configs/, with :VARIANT if it has any.', lock_config=True
)


def main(_: list[str]) -> None:
    from point_ft_jax.experiments import jobs

    command_line.start()
    jobs.run(CONFIG.value, command=command_line.given())


if __name__ == '__main__':
    command_line.run_with_config(main, required=True)
