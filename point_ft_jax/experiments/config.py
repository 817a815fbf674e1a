"""The whole configuration with its defaults: what a file in configs/ starts from."""

from ml_collections import ConfigDict, config_dict


def own_clouds() -> ConfigDict:
    """The section `data` for clouds of one's own: a folder, given on the command line."""
    data = ConfigDict({'name': 'folder'})
    data.root = config_dict.placeholder(str)  # a folder for each class
    # Kept of each cloud; None for as many as the smallest has.
    data.num_points = config_dict.placeholder(int)
    data.normalize = True  # centre each cloud and scale it to radius 1
    data.nonfinite = 'refuse'  # or 'drop' points that are NaN or infinite
    data.unreadable = 'refuse'  # or 'skip' files that cannot be read
    data.channels = ()  # of a point besides x, y, z: 'color', 'normal', …
    return data


def default() -> ConfigDict:
    """Every field a run has, with defaults that are sound rather than the papers'."""
    config = ConfigDict()
    config.name = 'run'  # in titles
    config.job = 'finetune'  # what run.py does: a file of experiments/jobs/
    config.folder = config_dict.placeholder(str)  # where it writes; by default runs/<name>
    # Where to metrics.jsonl is mirrored: 'tensorboard', 'wandb', 'mlflow'; () for nowhere.
    config.log = ('tensorboard',)
    config.seeds = (0,)  # one run each; the report gives mean and deviation
    # Members that train in one program over one backbone: seeds from the first on or, where rates
    # are given, one a learning rate. 'shared' clouds: all see those of the first, which is cheaper.
    config.population = 1
    config.population_rates = ()  # see `population`
    config.population_clouds = 'own'  # or 'shared', see `population`
    config.points = 1024  # of a cloud, as the model sees it
    config.task = 'classification'  # or 'part_segmentation'
    # How part segmentation draws a cloud's points: 'subset', or 'with_replacement' (the papers').
    config.sampling = 'subset'

    # `name` is a file of data/datasets/, the rest are options of its `load`.
    config.data = ConfigDict({'name': 'shapes'})
    # Training clouds held out, class by class, to choose the epoch.
    config.validation = ConfigDict(
        {
            'fraction': 0.1,  # of every class; 0 for none
            'seed': 0,  # which of them
            'folds': 0,  # with few clouds: so many models, each without a fold, choose the epoch
        }
    )
    config.select = 'validation'  # or 'best_test_epoch' (the papers'), 'last_epoch'

    config.model = ConfigDict(
        {
            'backbone': 'recon',  # a file of models/backbones/
            'variant': 'base',  # its size, of BACKBONE.variants in its file
            'geometry': {
                'num_groups': 64,
                'group_size': 32,
                'drop_path': 0.1,
            },  # fields of its module
            'readout': (),  # () for the method's, or the backbone's own
            # Outputs beyond the classes take part in training only; 0 for as many as classes.
            'head': {'dropout': 0.5, 'outputs': 0},
            'compute': 'float32',  # or 'bfloat16'; parameters are float32 either way
        }
    )
    # `name` is a file of methods/, `options` are fields of its tuner, `trainable` are
    # paths (fnmatch) that train instead of what the method says.
    config.method = ConfigDict({'name': 'full', 'options': {}, 'trainable': ()})
    # What the backbone comes from: a .pth, a run's folder or 'shipped:NAME'; '' for random weights.
    # `head`: whether its head comes from there, too, as LP-FT begins with a probe's; of runs only.
    # `text_features`: a file of them, one row a class name, in place of a head: of a backbone with
    # a space of texts. What a probe or a method then tunes starts as classification by text.
    config.init = ConfigDict({'checkpoint': '', 'head': False, 'text_features': ''})
    # Statistics of a backbone's batch norms while its weights are frozen: 'hold' them, or 'update'
    # them as the references do.
    config.batch_norm = 'hold'

    config.train = ConfigDict(
        {
            'epochs': 30,  # passes over the training clouds
            'batch_size': 32,  # clouds of a step
            # Fewer clouds of a step where an epoch would have fewer steps than these, but 8 at
            # least; 0, as with a batch_size on the command line, for batch_size as it is.
            'fewest_steps': 8,
            'augment': 'scale_translate',  # names of data/augment.py, joined by +
            'smoothing': 0.0,  # of the labels, 0 to 1
            # Epochs after which running statistics move by half as much, down to a tenth, as in
            # Point-BERT's part segmenter; 0 for never.
            'halve_momentum_every': 0,
            'evaluate_every': 1,  # epochs
            'save_every_seconds': 30.0,  # how much a kill can cost
            # What is kept for the backward pass: 'fast' (most), 'balanced' (results of products,
            # the rest is computed again), 'least' (what enters a block); 'auto': the first of them
            # that fits the device.
            'memory': 'auto',
            # Of the kernels that do not train; where model.compute is 'bfloat16', this may be, too:
            # half the memory, and the same numbers.
            'frozen_dtype': 'float32',
            'device_bytes': 4 * 2**30,  # a larger training split streams
        }
    )
    config.optim = ConfigDict(
        {
            'lr': 5e-4,  # the peak
            'schedule': 'cosine_by_step',  # or 'cosine_by_epoch' (the references'), 'constant'
            'epochs': 0,  # the length of the cosine; 0 for train.epochs
            'warmup': 3,  # epochs
            'initial_lr': 1e-6,  # where warm-up begins
            'final_lr': 1e-6,  # where the cosine ends
            'weight_decay': 0.05,  # decoupled, of matrices alone
            'clip': 10.0,  # of the global norm; 0 for none
            'clip_percentile': 0,  # of all norms so far, as MaskPoint clips; 0 for none
            'faster': (),  # paths (fnmatch) whose rate peaks at `factor` times `lr`
            'factor': 1.0,  # see `faster`
            'decay_faster': False,  # decay their vectors and biases too
            # L2-SP: how much a change of the backbone costs, in the place of its weight decay.
            'l2_sp': 0.0,
            # The decay of a moving average of the weights, which is evaluated and kept; 0 for none.
            'ema': 0.0,
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
            'mask_ratio': 0.6,  # of the patches
            'decoder': {},  # fields of the autoencoder: decoder_depth, decoder_heads, ...
            'chamfer': 'chamfer_l2',  # or 'chamfer_l1', 'chamfer_l1_l2' (their sum)
            'teachers': '',  # a file of image and text features of the training clouds
            'contrast': False,  # pull clouds together, by their class token
            'contrast_by': 'class',  # those of one class; or two views of one 'cloud': no labels
        }
    )
    return config


def judging(job: str) -> ConfigDict:
    """The fields of `default` and those of the jobs that judge a model."""
    config = default()
    config.job = job
    config.run = ''  # a finished run to judge, in place of the backbone of init.checkpoint
    config.svm = ConfigDict(
        {
            'classifier': 'LinearSVC',  # scikit-learn's; or 'SVC', with a linear kernel
            'c': 0.075,  # its C: a smaller one regularises more
            'readout': (),  # of the features; () for what the head reads
            'geometry': {},  # fields of the backbone that differ where features are extracted
            'points': 0,  # of a cloud; 0 for `points`
            'sample': 'farthest',  # points of a stored cloud, or the 'first'
            'neighbours': 5,  # how many vote
        }
    )
    config.few_shot = ConfigDict(
        {
            'root': '',  # of the official folds; '' to draw them from the data
            'ways': 5,  # classes of a task
            'shots': 10,  # clouds of each class to learn from
            'queries': 20,  # clouds of each class to be judged on
            'folds': 10,  # tasks, whose mean is reported
            'pool': 'splits',  # shots of the one, queries of the other; or 'union' of both
            'by': 'probing',  # frozen features; or 'tuning', as the papers do
        }
    )
    config.corruptions = ConfigDict(
        {
            'root': '',  # of the official ModelNet-C; '' to corrupt the run's test clouds
            'suite': 'modelnet_c_regenerated',  # or 'modelnet40_c_13_regenerated'
            'severities': (1, 2, 3, 4, 5),  # 1 (mild) to 5
            'clouds': 0,  # of the test split, evenly chosen; 0 for all
        }
    )
    # At test time, on corrupted clouds: '', 'tent' or 'purge_gate', and its options.
    config.adapt = ConfigDict({'name': '', 'options': {}})
    return config


def robust() -> ConfigDict:
    """The fields of `judging` and those of the comparison of robust methods."""
    config = judging('robust')
    # The models between the pre-trained and the fine-tuned one.
    config.wise = ConfigDict(
        {
            'alphas': tuple(i / 10 for i in range(11)),
            # Of batch norms: the first for everything, the others to compare.
            'statistics': ('reestimated',),
            'reestimate_clouds': 1024,  # of the training split, at most
            'batch_size': 32,  # clouds at once
        }
    )
    config.probe = ConfigDict(
        {
            'head': 'continue',  # the fine-tuned one; or 'fresh'
            'epochs': 50,
            'warmup': 0,
            'lr': 5e-4,
            'batch_size': 32,
            'weight_decay': 0.05,
            # 'none' probes on features extracted once; else through the backbone, step by step.
            'augment': 'none',
        }
    )
    # Every pair of ways and shots.
    config.few_shot = ConfigDict({'ways': (5, 10), 'shots': (10, 20), 'queries': 20, 'folds': 10})
    config.robust = ConfigDict(
        {
            'settings': ('obj_bg', 'obj_only', 'pb_t50_rs'),  # variants of the data
            # What is trained, by name: what of the config is another. `from_probe`: it starts from
            # the run lp, head and all. full has to be there.
            'runs': {},
            # Runs that the merges of several are made of; of one with a population, its members.
            'soup': (),
            # What is made of the trained, by name: a method of `weight_space.merge` or layerwise
            # (an alpha a block, by held-out clouds), and its options.
            'merges': {},
            # Adaptation at test time, by name: its options; of which rows of the table, () for all;
            # on how many clouds of the target and of every corruption, 0 for all.
            'adapt': {},
            'adapted': (),
            'adapted_clouds': 0,
            # Sets that nothing is fine-tuned on, by name, each as `data`; and folders beside them.
            'transfer': {},
            'folders': (),
            # The shift from CAD to scans: the transfer set with the CAD clouds, '' for none, and
            # the classes that it shares with the target.
            'cad': '',
            'shared': 'scan11',
            'svm': {
                'cs': (1e-4, 1e-3, 1e-2, 1e-1),  # on standardised features
                'raw_cs': (),  # on features as they are; () for svm.c, as the paper has it
                'folds': 3,
            },
            # What a run has to reach for its curves to mean anything.
            'limits': {
                **{'seeds': 3, 'clouds': 600, 'train_accuracy': 0.9, 'moved': 0.05},
                **{'above_random': 0.1, 'ceiling': 0.95},
            },
        }
    )
    return config
