"""A Vision Transformer that is a scikit-learn classifier."""

from dataclasses import replace

import numpy as np
from scipy.special import log_softmax
from sklearn.base import ClassifierMixin
from sklearn.model_selection import train_test_split
from sklearn.utils import assert_all_finite, column_or_1d, compute_class_weight
from sklearn.utils.multiclass import check_classification_targets, type_of_target
from sklearn.utils.validation import check_consistent_length

from skvit._base import BaseViT
from skvit._images import to_array
from skvit._samples import Run, Samples, Validation, check_weight
from skvit._scoring import make_score, probabilities
from skvit._utils._sklearn import StrOptions, fit_context
from skvit._utils._sklearn_callbacks import EpochReporter, with_callbacks

_TEXT = "OSTU"  # kinds of arrays that hold text


def check_labels(y):
    """Return labels as a one-dimensional array of two-way comparable values.

    Parameters
    ----------
    y : array-like of shape (n_samples,)
        Labels: numbers, strings or booleans.

    Returns
    -------
    ndarray of shape (n_samples,)
        The labels.

    Raises
    ------
    ValueError
        If there are several labels per sample, a missing one, labels of several kinds,
        or continuous values.
    """
    y = to_array(y)
    if getattr(y, "ndim", None) != 1:
        with np.errstate(invalid="ignore"):  # it casts labels before it checks them
            kind = type_of_target(y, input_name="y")
        if kind in {"multilabel-indicator", "multiclass-multioutput"}:
            raise ValueError(
                f"y has several labels per image ({kind}), but ViTClassifier gives "
                "each image one class. Wrap it in "
                "sklearn.multioutput.MultiOutputClassifier."
            )
    y = column_or_1d(y, warn=True)
    assert_all_finite(y, input_name="y")
    if y.dtype == object and not all(isinstance(label, str) for label in y):
        kinds = sorted({type(label).__name__ for label in y})
        raise ValueError(
            f"Unknown label type: y holds objects of type {', '.join(kinds)}, but its "
            "labels must be all numbers, all strings or all booleans. Convert them, "
            "for instance with y.astype(str)."
        )
    check_classification_targets(y)
    return y


class ViTClassifier(ClassifierMixin, BaseViT):
    """Classify images with a Vision Transformer.

    The network, its training and its device are chosen from the data; every choice can
    be set, and searched.

    Parameters
    ----------
    patch_size : int, tuple of two int, "auto" or "precomputed", default="auto"
        Side of the square patches, or their height and width, in pixels. "auto" is 2
        for images of 8 pixels or more on their shorter side, 4 from 24 on, 8 from 48
        and 16 from 160. "precomputed" means that X already is the sequence of patches,
        as `PatchTransformer` with `flatten=False` returns it. Sizes that do not divide
        the image are padded at the right and bottom, never cropped.
    embed_dim : int or "auto", default="auto"
        Width of the tokens. "auto" is 128 for images of 576 values or more (24 x 24)
        and 64 for anything else; half as much again from 40,000 samples on.
    depth : int or "auto", default="auto"
        Number of encoder blocks. "auto" is 4 for samples of 576 values or more and 2
        for smaller ones; 2 more from 40,000 samples on.
    num_heads : int or "auto", default="auto"
        Number of attention heads; must divide `embed_dim`. "auto" makes them about 32
        wide, but for images takes 8 at least where that leaves each 8 wide.
    mlp_ratio : float or "auto", default="auto"
        Width of the feed-forward layers over `embed_dim`. "auto" is 2.
    pos_embed : {"auto", "learned", "sincos", "sincos2d", "rope", "none"}, \
            default="auto"
        Encoding of the patches' positions. "auto" is "learned".
    pool : {"auto", "token", "mean", "map", "seqpool"}, default="auto"
        How the final tokens become one vector: the class token, their mean, attention
        pooling, or a softmax-weighted mean. "auto" is "seqpool" for images and "mean"
        otherwise.
    drop_path_rate : float or "auto", default="auto"
        Probability that either half of the last block, attention or feed-forward, is
        skipped for an image in a training step. It falls linearly to 0 in the first
        block, so that a single block is never skipped. "auto" is 0.
    architecture : Architecture or None, default=None
        Further switches of the network.
    max_epochs : int or "auto", default="auto"
        Passes over the training images. "auto" goes by their number and size, from 160
        for a few hundred small images to about 20 for tens of thousands; on an
        accelerator 50 from 40,000 images on.
    batch_size : int or "auto", default="auto"
        Images per update. "auto" is 64 to 256 by the number of images, and 512 from
        40,000 on where there is an accelerator.
    optimizer : {"auto", "adamw", "muon", "sgd"}, default="auto"
        Update rule. "muon" applies to the blocks' matrices and the stem's kernels, with
        AdamW for the rest. "auto" is "muon" for images and patches, and "adamw" for
        tables.
    learning_rate : float or "auto", default="auto"
        Highest learning rate, reached after warm-up. "auto" falls with `embed_dim` from
        64 on; there it is 0.003 for "adamw", 0.008 for "muon" and 0.075 for "sgd", and
        half as much again for 40,000 images or more on an accelerator.
    weight_decay : float or "auto", default="auto"
        Weight decay of matrices and kernels; decoupled from the gradient, but for
        "sgd". "auto" is 0.05.
    augment : {"auto", "shift", "light", "photo"}, Augment or None, default="auto"
        How training images are varied. "shift" and "light" keep labels for letters and
        digits too: small shifts alone, or with small rotations and changes of size and
        erased rectangles. "photo" adds mirroring, colour and operations on values.
        "auto" is None below 100 images, then "light" for images of fewer than 576
        values, and for 40,000 or more on an accelerator, and "shift" for all others.
        Tables and precomputed patches are never varied.
    recipe : Recipe or None, default=None
        Further settings of training.
    class_weight : dict, "balanced" or None, default=None
        Weight of each class in the loss; "balanced" weighs classes inversely to their
        frequency.
    early_stopping : bool, default=False
        Whether to stop when the validation score no longer improves, and to restore
        the best weights. Without it nothing is held out.
    validation_fraction : float, default=0.1
        Fraction of the training images held out, stratified by class, when
        `early_stopping` is on and `fit` gets no `X_val`.
    n_iter_no_change : int, default=10
        Most epochs in a row without improvement; one more ends training.
    tol : float, default=1e-4
        Smallest gain of the score that counts as an improvement.
    scoring : str, callable or None, default=None
        Validation score, as a scikit-learn scorer or its name. None is accuracy. A
        function gets an estimator that predicts X as the function got it, no other X.
    warm_start : bool, default=False
        Whether `fit` begins with the weights, and keeps the normalisation, of the
        previous fit.
    image_shape : tuple of int or None, default=None
        Shape of one image in flat rows, (height, width), (height, width, channels) or
        (channels, height, width).
    channels : {"auto", "first", "last"}, default="auto"
        Where X has its channels. "auto" takes the axis of size 1, 3 or 4.
    image_options : ImageOptions or None, default=None
        How images are read and scaled.
    device : str or torch.device, default="auto"
        Where to compute. "auto" is the first of CUDA, XPU, MPS and CPU that is
        present; setting the environment variable SKVIT_DISABLE_ACCELERATORS to 1
        leaves the CPU only.
    precision : {"auto", "float32", "bfloat16", "float16", "float64"}, default="auto"
        Type of the matrix products. "auto" is bfloat16 where the device multiplies it
        faster, which on a CPU takes an `embed_dim` of 64 or more, otherwise float32; on
        a CPU it is float64 for tables. Probabilities always come from float32 or
        float64.
    compile : bool, default=False
        Whether `torch.compile` prepares the network; worth its minutes in long runs.
        PyTorch does so for eight forms of it in a process
        (`torch._dynamo.config.recompile_limit`), and runs further ones as they are.
    random_state : int, RandomState instance or None, default=None
        Seed of initial weights, held-out images, order of images, dropout and
        augmentation. An int gives the same result on each call on a CPU, and on a GPU
        under `torch.use_deterministic_algorithms`.
    verbose : int, default=0
        0 prints nothing; 1 shows a live progress bar.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        Class labels, in the order of the columns of `predict_proba`.
    n_features_in_ : int
        Number of values per image.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Column names, where X was a data frame with names that are all strings.
    image_shape_ : tuple of int
        Height, width and number of channels of the training images.
    image_spec_ : ImageSpec
        What one image is.
    skipped_ : DataFrame
        Row, path and reason of each file that could not be read and was left out;
        empty unless `image_options` has ``on_error="skip"``.
    channel_mean_, channel_std_ : ndarray of shape (n_channels,)
        Statistics of the training images by which all images are normalised.
    recipe_ : ResolvedRecipe
        Every setting, with each "auto" replaced by what it became.
    n_epochs_ : int
        Number of epochs trained.
    history_ : DataFrame
        One row per epoch: losses, validation score, learning rate, images per second.
    loss_curve_ : list of float
        Training loss of each epoch.
    validation_scores_ : list of float or None
        Validation score of each epoch; None without validation images.
    best_validation_score_ : float or None
        Best of `validation_scores_`; None where there is none.
    device_ : torch.device
        Device on which the estimator computes.
    module_ : torch.nn.Module
        The network, built when first asked for. Changing it leaves the estimator alone.
    net_ : skorch.NeuralNet
        A skorch net around `module_`, built when asked for.

    See Also
    --------
    PatchTransformer : Cut images into patches, for any estimator.
    sklearn.neural_network.MLPClassifier : A network without a notion of images.

    Notes
    -----
    Values are normalised per channel, so that their type does not change their
    meaning. Results with an int `random_state` are equal bit for bit on a CPU, in
    loops, threads and processes that use as many threads per process.

    References
    ----------
    .. [1] A. Dosovitskiy et al., "An Image is Worth 16x16 Words: Transformers for
       Image Recognition at Scale", ICLR 2021, arXiv:2010.11929.
    .. [2] A. Hassani et al., "Escaping the Big Data Paradigm with Compact
       Transformers", arXiv:2104.05704.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn.model_selection import train_test_split
    >>> from skvit import ViTClassifier
    >>> digits = load_digits()
    >>> X_train, X_test, y_train, y_test = train_test_split(
    ...     digits.images, digits.target, random_state=0)
    >>> clf = ViTClassifier(max_epochs=12, random_state=0)
    >>> clf.fit(X_train, y_train).score(X_test, y_test) > 0.9
    True
    """

    _parameter_constraints: dict = {
        **BaseViT._parameter_constraints,
        "class_weight": [dict, StrOptions({"balanced"}), None],
    }

    def __init__(
        self,
        patch_size="auto",
        *,
        embed_dim="auto",
        depth="auto",
        num_heads="auto",
        mlp_ratio="auto",
        pos_embed="auto",
        pool="auto",
        drop_path_rate="auto",
        architecture=None,
        max_epochs="auto",
        batch_size="auto",
        optimizer="auto",
        learning_rate="auto",
        weight_decay="auto",
        augment="auto",
        recipe=None,
        class_weight=None,
        early_stopping=False,
        validation_fraction=0.1,
        n_iter_no_change=10,
        tol=1e-4,
        scoring=None,
        warm_start=False,
        image_shape=None,
        channels="auto",
        image_options=None,
        device="auto",
        precision="auto",
        compile=False,
        random_state=None,
        verbose=0,
    ):
        self.patch_size = patch_size
        self.embed_dim = embed_dim
        self.depth = depth
        self.num_heads = num_heads
        self.mlp_ratio = mlp_ratio
        self.pos_embed = pos_embed
        self.pool = pool
        self.drop_path_rate = drop_path_rate
        self.architecture = architecture
        self.max_epochs = max_epochs
        self.batch_size = batch_size
        self.optimizer = optimizer
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.augment = augment
        self.recipe = recipe
        self.class_weight = class_weight
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.tol = tol
        self.scoring = scoring
        self.warm_start = warm_start
        self.image_shape = image_shape
        self.channels = channels
        self.image_options = image_options
        self.device = device
        self.precision = precision
        self.compile = compile
        self.random_state = random_state
        self.verbose = verbose

    @with_callbacks
    @fit_context(prefer_skip_nested_validation=True)
    def fit(
        self,
        X,
        y,
        sample_weight=None,
        *,
        X_val=None,
        y_val=None,
        sample_weight_val=None,
    ):
        """Train the network.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), \
                (n_samples, height, width) or (n_samples, height, width, channels)
            Images; channels may also come second. Flat rows are images if
            `image_shape` says so or `n_features` is a square of at least 8 x 8. Also a
            list, tuple, series, array of objects or frame of one column that holds
            single arrays, images of Pillow, or paths of files; or a stored array that
            is read by slices.
        y : array-like of shape (n_samples,)
            Labels of any kind: numbers, strings, booleans.
        sample_weight : array-like of shape (n_samples,) or None, default=None
            Weights in the loss and in the normalisation. Samples of weight 0 change
            nothing.
        X_val, y_val : array-like or None, default=None
            Images and labels to score after each epoch.
        sample_weight_val : array-like or None, default=None
            Weights in the validation score.

        Returns
        -------
        self : ViTClassifier
            The fitted estimator.

        Raises
        ------
        ValueError
            If X or y is not as described, a file cannot be read, parameters do not fit
            together, or the loss becomes infinite. A former fit is then left as it was.
        """
        go_on = self.warm_start and self.__sklearn_is_fitted__()
        validation = Validation(X_val, y_val, sample_weight_val)
        with self._draft() as draft:
            draft._fit(self, X, y, sample_weight, validation, Run(go_on=go_on))
        return self

    @fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X, y, classes=None, sample_weight=None):
        """Make one pass over the given images.

        The learning rate is constant after warm-up. Statistics, network and recipe are
        decided by the first call, or by an earlier `fit`; the optimizer goes on from
        call to call, also through a pickle.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), \
                (n_samples, height, width) or (n_samples, height, width, channels)
            Images in any form that `fit` accepts.
        y : array-like of shape (n_samples,)
            Labels, each of them among `classes`.
        classes : array-like of shape (n_classes,) or None, default=None
            All labels that will ever occur; needed on the first call.
        sample_weight : array-like of shape (n_samples,) or None, default=None
            Weights in the loss.

        Returns
        -------
        self : ViTClassifier
            The fitted estimator.

        Raises
        ------
        ValueError
            If `early_stopping` is on or `class_weight` is "balanced", which need all
            images at once, or if `classes` is missing or differs from the first call.
        """
        if self.early_stopping:
            raise ValueError("partial_fit does not support early_stopping=True.")
        if self.class_weight == "balanced":
            raise ValueError(
                "class_weight='balanced' is not supported for partial_fit: compute the "
                "weights with sklearn.utils.class_weight.compute_class_weight and pass "
                "them as a dict."
            )
        go_on = self.__sklearn_is_fitted__()
        run = Run(go_on=go_on, partial=True)
        with self._draft() as draft:
            draft._set_classes(classes, known=go_on)
            draft._fit(self, X, y, sample_weight, Validation(), run)
        return self

    def predict(self, X):
        """Return the most probable class of each image.

        Parameters
        ----------
        X : array-like
            Images in any form that `fit` accepts.

        Returns
        -------
        ndarray of shape (n_samples,)
            Labels.
        """
        outputs = self._outputs(X)
        return self.classes_[outputs.argmax(axis=1)]

    def predict_proba(self, X):
        """Return the probability of each class for each image.

        Parameters
        ----------
        X : array-like
            Images in any form that `fit` accepts.

        Returns
        -------
        ndarray of shape (n_samples, n_classes)
            Rows that sum to one, in the order of `classes_`.
        """
        return probabilities(self._outputs(X))

    def predict_log_proba(self, X):
        """Return the logarithm of each class's probability for each image.

        Parameters
        ----------
        X : array-like
            Images in any form that `fit` accepts.

        Returns
        -------
        ndarray of shape (n_samples, n_classes)
            Finite also where a probability is too small for a float.
        """
        return log_softmax(self._outputs(X).astype(np.float64), axis=1)

    def _fit(self, estimator, X, y, sample_weight, validation, run):
        """Fit this draft of an estimator, to which callbacks are told to belong."""
        from skvit._fit import fit_network

        validation.check()
        known = run.go_on or run.partial
        samples = self._check_samples(
            X, y, sample_weight, reset=not run.go_on, known=known
        )
        samples, valid = self._split(samples, validation)
        samples = self._weigh(samples)
        if not run.partial:
            samples = samples.with_mean_weight_one()
        fit_network(
            self,
            samples,
            len(self.classes_),
            run=run,
            valid=valid,
            score=None if valid is None else self._make_score(valid),
            report_to=None if run.partial else EpochReporter(estimator, X, y),
        )

    def _check_target(self, y, known):
        """Return each label's index in `classes_`, which `known` says are fixed."""
        y = check_labels(y)
        if not known:
            self.classes_, codes = np.unique(y, return_inverse=True)
            return codes
        return self._codes(y, "y")

    def _codes(self, y, name):
        """Return indices of labels that must be among the known classes."""
        if (y.dtype.kind in _TEXT) != (self.classes_.dtype.kind in _TEXT):
            raise ValueError(
                f"{name} has labels of type {y.dtype}, but the classes seen in "
                f"training are of type {self.classes_.dtype}: "
                f"{self.classes_.tolist()}. Give both as text or both as numbers."
            )
        unseen = np.setdiff1d(y, self.classes_)
        if len(unseen):
            raise ValueError(
                f"{name} has labels that are not among the classes seen in training: "
                f"{unseen.tolist()}; known are {self.classes_.tolist()}."
            )
        return np.searchsorted(self.classes_, y)

    def _set_classes(self, classes, known):
        """Take the classes of partial_fit's first call, or compare with them."""
        if classes is None:
            if not known:
                raise ValueError(
                    "classes must be passed on the first call to partial_fit."
                )
            return
        classes = np.unique(check_labels(classes))
        if known and not np.array_equal(classes, self.classes_):
            raise ValueError(
                f"`classes={classes.tolist()}` is not the same as on the first call to "
                f"partial_fit, was: {self.classes_.tolist()}."
            )
        self.classes_ = classes

    def _weigh(self, samples):
        """Multiply class weights into the samples' weights."""
        if self.class_weight is None:
            return samples
        labels = self.classes_[samples.target]
        # "balanced" knows only the classes in y, of which a later call may lack some.
        is_dict = isinstance(self.class_weight, dict)
        known = self.classes_ if is_dict else np.unique(labels)
        weights = np.ones(len(self.classes_))
        weights[np.searchsorted(self.classes_, known)] = compute_class_weight(
            self.class_weight, classes=known, y=labels
        )
        own = 1.0 if samples.weight is None else samples.weight
        weight = own * weights[samples.target]
        if not (weight >= 0).all() or not np.isfinite(weight).all() or not weight.any():
            raise ValueError(
                f"`class_weight`={self.class_weight!r} must give no class a negative "
                "weight, and at least one class of y a positive one."
            )
        return replace(samples, weight=weight).without_zero_weights()

    def _split(self, samples, validation):
        """Return training and validation samples; None where nothing is held out."""
        if validation.X is not None:
            images = self._check_input(validation.X, reset=False, name="X_val")
            y = check_labels(validation.y)
            check_consistent_length(validation.X, y)
            weight = check_weight(validation.sample_weight, len(y))
            valid = Samples(images, self._codes(y, "y_val"), weight)
            return samples, valid.with_mean_weight_one()
        if not self.early_stopping:
            return samples, None
        train, held_out = self._hold_out(self.classes_[samples.target])
        return samples.take(train), samples.take(held_out).with_mean_weight_one()

    def _hold_out(self, labels):
        """Return the rows to train on and those held out, with all classes in both."""
        try:
            return train_test_split(
                np.arange(len(labels)),
                test_size=self.validation_fraction,
                stratify=labels,
                random_state=self._make_seed(),
            )
        except ValueError as error:
            classes, counts = np.unique(labels, return_counts=True)
            raise ValueError(
                "`early_stopping` needs an image of each class to train on and one to "
                f"hold out, but `validation_fraction`={self.validation_fraction!r} of "
                f"{len(labels)} images was to hold those of {len(classes)} classes, "
                f"of which {classes.tolist()[counts.argmin()]!r} has {counts.min()}. "
                "Change `validation_fraction`, or pass `X_val` and `y_val`."
            ) from error

    def _make_score(self, samples):
        """Return a function from outputs for validation samples to a score."""
        labels = self.classes_[samples.target]
        names = ("classes_", "n_features_in_", "feature_names_in_")
        known = {name: vars(self)[name] for name in names if name in vars(self)}
        return make_score(self.scoring, known, samples.images, labels, samples.weight)
