"""The whole configuration with its defaults: what a file in configs/ starts from."""

from ml_collections import ConfigDict, config_dict


def default() -> ConfigDict:
    """Every field a run has, with defaults that are sound rather than the papers'."""
    config = ConfigDict()
    config.name = 'run'  # in titles
    config.job = 'finetune'  # what run.py does: a name of point_ft_jax/jobs.py
    config.folder = config_dict.placeholder(str)  # where it writes; by default runs/<name>
    config.seeds = (0,)  # one run each; the report gives mean and deviation
    # Members that train in one program over one backbone: seeds from the first on or, where rates
    # are given, one a learning rate. 'shared' clouds: all see those of the first, which is cheaper.
    config.population = 1
    config.population_rates = ()
    config.population_clouds = 'own'
    config.points = 1024  # of a cloud, as the model sees it
    config.task = 'classification'  # or 'part_segmentation'
    # How part segmentation draws a cloud's points: 'subset', or 'with_replacement' (the papers').
    config.sampling = 'subset'

    # `name` is a file of point_ft_jax/data/, the rest are options of its `load`.
    config.data = ConfigDict({'name': 'shapes'})
    # Training clouds held out, class by class, to choose the epoch.
    config.validation = ConfigDict({'fraction': 0.1, 'seed': 0})
    config.select = 'validation'  # or 'best_test_epoch' (the papers'), 'last_epoch'

    config.model = ConfigDict(
        {
            'backbone': 'recon',  # a file of point_ft_jax/backbones/
            'variant': 'base',
            'geometry': {'num_groups': 64, 'group_size': 32, 'drop_path': 0.1},
            'readout': (),  # () for the method's, or the backbone's own
            # Outputs beyond the classes take part in training only; 0 for as many as classes.
            'head': {'dropout': 0.5, 'outputs': 0},
            'compute': 'float32',  # or 'bfloat16'; parameters are float32 either way
        }
    )
    # `name` is a file of point_ft_jax/methods/, `options` are fields of its tuner, `trainable` are
    # paths (fnmatch) that train instead of what the method says.
    config.method = ConfigDict({'name': 'full', 'options': {}, 'trainable': ()})
    config.init = ConfigDict({'checkpoint': ''})  # a .pth to take the backbone from; '' for none
    # Statistics of a backbone's batch norms while its weights are frozen: 'hold' them, or 'update'
    # them as the references do.
    config.batch_norm = 'hold'

    config.train = ConfigDict(
        {
            'epochs': 30,
            'batch_size': 32,
            'augment': 'scale_translate',  # names of point_ft_jax/augment.py, joined by +
            'smoothing': 0.0,
            # Epochs after which running statistics move by half as much, down to a tenth, as in
            # Point-BERT's part segmenter; 0 for never.
            'halve_momentum_every': 0,
            'evaluate_every': 1,
            'save_every_seconds': 30.0,
            'remat': False,  # less memory for about a third more operations
            'device_bytes': 4 * 2**30,  # a larger training split streams
        }
    )
    config.optim = ConfigDict(
        {
            'lr': 5e-4,
            'schedule': 'cosine_by_step',  # or 'cosine_by_epoch' (the references'), 'constant'
            'epochs': 0,  # the length of the cosine; 0 for train.epochs
            'warmup': 3,  # epochs
            'initial_lr': 1e-6,
            'final_lr': 1e-6,
            'weight_decay': 0.05,
            'clip': 10.0,  # of the global norm; 0 for none
            'clip_percentile': 0,  # of all norms so far, as MaskPoint clips; 0 for none
            'faster': (),  # paths (fnmatch) whose rate peaks at `factor` times `lr`
            'factor': 1.0,
            'decay_faster': False,  # decay their vectors and biases too
            # Step once with the gradient and once more with it clipped, as the references' part
            # segmenters do.
            'double_step': False,
        }
    )
    # Voting at the end: passes, how often the vote is repeated to keep the best (the papers': 299;
    # optimistic), and the augmentation of a pass.
    config.vote = ConfigDict({'votes': 0, 'repeats': 1, 'augment': 'scale_translate'})
    return config


def pretraining() -> ConfigDict:
    """The fields of `default` and those of pre-training."""
    config = default()
    config.job = 'pretrain'
    config.select = 'last_epoch'  # the test split only says how far reconstruction has come
    config.pretrain = ConfigDict(
        {
            'sample': 'farthest',  # points of a stored cloud; or 'random' (the papers')
            'mask': 'random',  # or 'block': one patch and those nearest to it
            'mask_ratio': 0.6,
            'decoder': {},  # fields of the autoencoder: decoder_depth, decoder_heads, ...
            'chamfer': 'chamfer_l2',  # or 'chamfer_l1'
            'teachers': '',  # a file of image and text features of the training clouds
            'contrast': False,  # pull clouds of one class together, by their class token
        }
    )
    return config
