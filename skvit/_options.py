"""Small searchable objects for families of options that are set rarely."""

from numbers import Integral, Real
from os import PathLike

from sklearn.base import BaseEstimator

from skvit._images import ReadOptions, check_pair
from skvit._utils._sklearn import Interval, Options, StrOptions

_RATE = Interval(Real, 0, 1, closed="left")
_POSITIVE = Interval(Real, 0, None, closed="neither")
_NON_NEGATIVE = Interval(Real, 0, None, closed="left")


class OptionGroup(BaseEstimator):
    """Remember a family of options; `check` validates them when `fit` asks."""

    _parameter_constraints: dict = {}

    def check(self):
        """Raise an error that names the first option with an invalid value.

        Returns
        -------
        self : OptionGroup
            The options, valid.
        """
        self._validate_params()
        return self


class Architecture(OptionGroup):
    """Switches of the network that are set less often than width and depth.

    Parameters
    ----------
    patch_embed : {"auto", "linear", "conv", "overlap", "shifted"}, default="auto"
        How patches become vectors: a linear map of the flattened patch, the same map
        as a convolution, a stem of two overlapping convolutions, or shifted patch
        tokenization. "auto" takes "overlap" for images and "linear" for tables.
        Precomputed patches are always mapped linearly.
    stem_width : int or "auto", default="auto"
        Channels between the two convolutions of "overlap". "auto" is 32, but 64 for
        images of fewer than 576 values and 16 for images of 160 pixels or more, and
        less where patches have 1,400 values or more: most of the work is left to
        attention.
    stem_convs : {1, 2}, default=2
        Number of convolutions of "overlap".
    whiten : bool or "auto", default="auto"
        Whether the first convolution of "overlap" starts with filters that
        decorrelate the pixels of the training images [3]_. "auto" does so wherever
        there is one.
    patch_norm : {"none", "before", "after", "both"}, default="none"
        Layer normalisation before or after the projection of the patches.
    class_token : bool or None, default=None
        Whether there is a class token; None for one only where `pool` is "token".
    pos_bias : {"auto", "gaussian", "none"}, default="auto"
        "gaussian" lets each head look first at one neighbour of a patch, as a
        convolution does, by a learned bias of the scores [4]_. "auto" takes it for
        images of up to 256 patches: memory grows with the square of their number.
    pos_embed_token : bool, default=True
        Whether the class token has a position of its own.
    num_register_tokens : int, default=0
        Number of extra learned tokens that belong to no patch.
    qkv_bias : bool, default=True
        Whether queries, keys and values have a bias.
    qk_norm : bool, default=False
        Whether queries and keys are normalised before their product.
    locality : bool, default=False
        Locality self-attention: no patch attends to itself, and each head learns its
        temperature.
    activation : {"gelu", "gelu_tanh", "swiglu"}, default="gelu"
        Non-linearity of the feed-forward layers.
    norm_eps : float, default=1e-6
        Constant added to the variance in layer normalisation.
    norm_after_pool : bool or None, default=None
        Whether the last layer norm follows the pooling instead of preceding it; None
        for that only where `pool` is "mean".
    layer_scale : float or None, default=None
        Initial value of a learned scale on each sublayer's output; None for no scale.
    drop_rate : float, default=0.0
        Dropout rate of embeddings and projections.
    attn_drop_rate : float, default=0.0
        Dropout rate of attention weights.
    patch_drop_rate : float or "auto", default="auto"
        Fraction of the patches left out of each training step, others for each image
        [5]_. The last quarter of the epochs of `fit`, if it is not stopped before,
        shows them all as predictions do [6]_. "auto" leaves out half from 1,000 images
        on, and from 4,000 on where they have 48 pixels or more, if they have 576 values
        and 32 patches or more; 0 for all else, in `partial_fit`, and from 40,000 images
        on where there is an accelerator.
    head_hidden : int or None, default=None
        Width of a hidden layer in the head; None for a linear head.
    head_activation : {"gelu", "relu", "tanh"}, default="gelu"
        Non-linearity of the hidden layer in the head.
    init : {"auto", "trunc_normal", "jax", "mimetic"}, default="auto"
        Scheme of the initial weights. "auto" takes "jax" behind the stem of images of
        fewer than 576 values, "trunc_normal" elsewhere.

    See Also
    --------
    Recipe : How the network is trained.
    skvit.ViTClassifier : The estimator that takes these options.

    References
    ----------
    .. [1] A. Dosovitskiy et al., "An Image is Worth 16x16 Words", ICLR 2021,
       arXiv:2010.11929.
    .. [2] S. H. Lee, S. Lee, B. C. Song, "Vision Transformer for Small-Size
       Datasets", arXiv:2112.13492.
    .. [3] K. Jordan, "94% on CIFAR-10 in 3.29 Seconds on a Single GPU",
       arXiv:2404.00498.
    .. [4] J.-B. Cordonnier, A. Loukas, M. Jaggi, "On the Relationship between
       Self-Attention and Convolutional Layers", arXiv:1911.03584.
    .. [5] Y. Liu et al., "PatchDropout: Economizing Vision Transformers Using Patch
       Dropout", arXiv:2208.07220.
    .. [6] Y. Li et al., "Scaling Language-Image Pre-training via Masking",
       arXiv:2212.00794.

    Examples
    --------
    >>> from skvit import Architecture, ViTClassifier
    >>> clf = ViTClassifier(architecture=Architecture(qk_norm=True))
    >>> clf.set_params(architecture__qk_norm=False).architecture
    Architecture()
    """

    _parameter_constraints: dict = {
        "patch_embed": [StrOptions({"auto", "linear", "conv", "overlap", "shifted"})],
        "stem_width": [
            Interval(Integral, 1, None, closed="left"),
            StrOptions({"auto"}),
        ],
        "stem_convs": [Options(Integral, {1, 2})],
        "whiten": ["boolean", StrOptions({"auto"})],
        "patch_norm": [StrOptions({"none", "before", "after", "both"})],
        "class_token": ["boolean", None],
        "pos_bias": [StrOptions({"auto", "gaussian", "none"})],
        "pos_embed_token": ["boolean"],
        "num_register_tokens": [Interval(Integral, 0, None, closed="left")],
        "qkv_bias": ["boolean"],
        "qk_norm": ["boolean"],
        "locality": ["boolean"],
        "activation": [StrOptions({"gelu", "gelu_tanh", "swiglu"})],
        "norm_eps": [_POSITIVE],
        "norm_after_pool": ["boolean", None],
        "layer_scale": [_POSITIVE, None],
        "drop_rate": [_RATE],
        "attn_drop_rate": [_RATE],
        "patch_drop_rate": [_RATE, StrOptions({"auto"})],
        "head_hidden": [Interval(Integral, 1, None, closed="left"), None],
        "head_activation": [StrOptions({"gelu", "relu", "tanh"})],
        "init": [StrOptions({"auto", "trunc_normal", "jax", "mimetic"})],
    }

    def __init__(
        self,
        *,
        patch_embed="auto",
        stem_width="auto",
        stem_convs=2,
        whiten="auto",
        patch_norm="none",
        class_token=None,
        pos_bias="auto",
        pos_embed_token=True,
        num_register_tokens=0,
        qkv_bias=True,
        qk_norm=False,
        locality=False,
        activation="gelu",
        norm_eps=1e-6,
        norm_after_pool=None,
        layer_scale=None,
        drop_rate=0.0,
        attn_drop_rate=0.0,
        patch_drop_rate="auto",
        head_hidden=None,
        head_activation="gelu",
        init="auto",
    ):
        self.patch_embed = patch_embed
        self.stem_width = stem_width
        self.stem_convs = stem_convs
        self.whiten = whiten
        self.patch_norm = patch_norm
        self.class_token = class_token
        self.pos_bias = pos_bias
        self.pos_embed_token = pos_embed_token
        self.num_register_tokens = num_register_tokens
        self.qkv_bias = qkv_bias
        self.qk_norm = qk_norm
        self.locality = locality
        self.activation = activation
        self.norm_eps = norm_eps
        self.norm_after_pool = norm_after_pool
        self.layer_scale = layer_scale
        self.drop_rate = drop_rate
        self.attn_drop_rate = attn_drop_rate
        self.patch_drop_rate = patch_drop_rate
        self.head_hidden = head_hidden
        self.head_activation = head_activation
        self.init = init


class Recipe(OptionGroup):
    """How training proceeds, beyond optimizer, rate and number of epochs.

    Parameters
    ----------
    warmup : float, default=0.05
        Fraction of the updates during which the learning rate rises linearly.
    final_rate : float, default=0.0
        Learning rate at the last update, as a fraction of the highest; the decay
        between follows half a cosine.
    clip_norm : float or None, default=1.0
        Largest norm of the gradient over all parameters; None to leave it alone.
    label_smoothing : float or "auto", default="auto"
        Probability mass moved from the true class to all classes. "auto" is 0.1 for
        images, and 0 for tables and precomputed patches.
    averaging : float or "auto" or None, default="auto"
        Decay of an exponential moving average over the last tenth of the updates, which
        then replaces the weights; None for none. "auto" is 0.998 where there are 500
        updates or more, and None elsewhere.
    test_views : {1, 5, 9}, default=1
        Number of slightly shifted views of each image over which predictions are
        averaged; 1 looks at the image as it is, and is all that tables and precomputed
        patches allow.

    See Also
    --------
    Architecture : What is trained.
    Augment : How training images are varied.

    Examples
    --------
    >>> from skvit import Recipe, ViTClassifier
    >>> clf = ViTClassifier(recipe=Recipe(label_smoothing=0.2))
    >>> clf.get_params()["recipe__label_smoothing"]
    0.2
    """

    _parameter_constraints: dict = {
        "warmup": [_RATE],
        "final_rate": [Interval(Real, 0, 1, closed="both")],
        "clip_norm": [_POSITIVE, None],
        "label_smoothing": [_RATE, StrOptions({"auto"})],
        "averaging": [_RATE, StrOptions({"auto"}), None],
        "test_views": [Options(Integral, {1, 5, 9})],
    }

    def __init__(
        self,
        *,
        warmup=0.05,
        final_rate=0.0,
        clip_norm=1.0,
        label_smoothing="auto",
        averaging="auto",
        test_views=1,
    ):
        self.warmup = warmup
        self.final_rate = final_rate
        self.clip_norm = clip_norm
        self.label_smoothing = label_smoothing
        self.averaging = averaging
        self.test_views = test_views


class Augment(OptionGroup):
    """How training images are varied, a whole batch at a time.

    Parameters
    ----------
    shift : float, default=0.0
        Largest shift along each axis, as a fraction of the image's side.
    rotate : float, default=0.0
        Largest rotation in degrees.
    scale : float, default=0.0
        Largest relative change of size: 0.1 draws from 0.9 to 1.1.
    flip : bool, default=False
        Whether half of the images are mirrored left to right.
    color : float, default=0.0
        Strength of random changes of brightness, contrast and saturation.
    operations : int, default=0
        Number of operations on each image's values, drawn as in RandAugment [3]_ from
        softening, sharpening, posterizing, solarizing, graying and none.
    erase : float, default=0.0
        Probability that a random rectangle of an image is replaced by the mean.
    mixup : float, default=0.0
        Parameter of the Beta distribution that mixes pairs of images and labels;
        0 for none.
    cutmix : float, default=0.0
        The same for pasting a rectangle of another image. When both are given, each
        batch takes one of them.

    See Also
    --------
    Recipe : How training proceeds.

    References
    ----------
    .. [1] H. Zhang et al., "mixup: Beyond Empirical Risk Minimization", ICLR 2018,
       arXiv:1710.09412.
    .. [2] S. Yun et al., "CutMix", ICCV 2019, arXiv:1905.04899.
    .. [3] E. D. Cubuk et al., "RandAugment: Practical Automated Data Augmentation
       with a Reduced Search Space", NeurIPS 2020, arXiv:1909.13719.

    Examples
    --------
    >>> from skvit import Augment, ViTClassifier
    >>> clf = ViTClassifier(augment=Augment(shift=0.1, flip=True))
    >>> clf.set_params(augment__flip=False).augment
    Augment(shift=0.1)
    """

    _parameter_constraints: dict = {
        "shift": [_RATE],
        "rotate": [Interval(Real, 0, 180, closed="both")],
        "scale": [_RATE],
        "flip": ["boolean"],
        "color": [_RATE],
        "operations": [Interval(Integral, 0, None, closed="left")],
        "erase": [Interval(Real, 0, 1, closed="both")],
        "mixup": [_NON_NEGATIVE],
        "cutmix": [_NON_NEGATIVE],
    }

    def __init__(
        self,
        *,
        shift=0.0,
        rotate=0.0,
        scale=0.0,
        flip=False,
        color=0.0,
        operations=0,
        erase=0.0,
        mixup=0.0,
        cutmix=0.0,
    ):
        self.shift = shift
        self.rotate = rotate
        self.scale = scale
        self.flip = flip
        self.color = color
        self.operations = operations
        self.erase = erase
        self.mixup = mixup
        self.cutmix = cutmix


class ImageOptions(OptionGroup):
    """How images are read and scaled.

    Parameters
    ----------
    normalize : bool, default=True
        Whether each channel is centred and scaled by the mean and standard deviation
        of the training images. False hands values to the network as they are.
    resize : int, tuple of int or None, default=None
        Side of a square, or (height, width), in pixels, to which images are brought,
        averaging over the pixels that fall together. Needs Pillow. None takes images
        of one size as they are. Flat rows keep their size.
    aspect : {"pad", "stretch"}, default="pad"
        Whether `resize` keeps the proportion of an image's sides, and fills the rest
        with zeros, or stretches it.
    color : {"auto", "gray", "rgb", "rgba"}, default="auto"
        Channels of Pillow's images and of pictures in files. "auto" is gray where all
        of them are, and three colours otherwise, with what is transparent shown on
        white. Images of 16 and 32 bits keep the channels that they have.
    on_error : {"raise", "skip"}, default="raise"
        What `fit` does with files that cannot be read. "skip" decodes all files
        first, trains on the others, warns and lists the rest in `skipped_`.
        Predictions, and the images for validation, always raise.
    cache : int, str or path, default=1073741824
        Memory for decoded images in bytes; those of the first rows are kept as far as
        it goes. Or a directory, in which all are kept until `fit` or `predict` ends;
        it must exist when files are read.
    n_threads : int or None, default=None
        Number of threads that decode files; None for one on each core.

    See Also
    --------
    skvit.ViTClassifier : The estimator that takes these options.

    Examples
    --------
    >>> import numpy as np
    >>> from skvit import ImageOptions, PatchTransformer
    >>> images = [np.zeros((30, 40, 3)), np.zeros((64, 48, 3))]
    >>> patches = PatchTransformer(8, image_options=ImageOptions(resize=32))
    >>> patches.fit(images).image_shape_
    (32, 32, 3)
    """

    _parameter_constraints: dict = {
        "normalize": ["boolean"],
        "resize": [Interval(Integral, 1, None, closed="left"), tuple, list, None],
        "aspect": [StrOptions({"pad", "stretch"})],
        "color": [StrOptions({"auto", "gray", "rgb", "rgba"})],
        "on_error": [StrOptions({"raise", "skip"})],
        "cache": [Interval(Integral, 0, None, closed="left"), str, PathLike],
        "n_threads": [Interval(Integral, 1, None, closed="left"), None],
    }

    def __init__(
        self,
        *,
        normalize=True,
        resize=None,
        aspect="pad",
        color="auto",
        on_error="raise",
        cache=2**30,
        n_threads=None,
    ):
        self.normalize = normalize
        self.resize = resize
        self.aspect = aspect
        self.color = color
        self.on_error = on_error
        self.cache = cache
        self.n_threads = n_threads

    def reading(self, *, may_skip=False):
        """Return what these options say about reading.

        Parameters
        ----------
        may_skip : bool, default=False
            Whether files that cannot be read may be left out, as in `fit`.

        Returns
        -------
        ReadOptions
            Plain values.

        Raises
        ------
        TypeError
            If `resize` is not made of integers.
        ValueError
            If `resize` is not one or two positive lengths.
        """
        size = None if self.resize is None else check_pair("resize", self.resize)
        return ReadOptions(
            size=size,
            aspect=self.aspect,
            color=self.color,
            skip=may_skip and self.on_error == "skip",
            cache=self.cache,
            n_threads=self.n_threads,
        )
