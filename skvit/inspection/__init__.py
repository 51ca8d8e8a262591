"""See what a fitted estimator sees: maps as arrays, and pictures of them."""

from skvit.inspection._attention import attention_maps, attention_rollout
from skvit.inspection._faithfulness import deletion_insertion_curve
from skvit.inspection._occlusion import occlusion_map
from skvit.inspection._plot._attention_map import AttentionMapDisplay
from skvit.inspection._plot._misclassified import MisclassifiedDisplay
from skvit.inspection._plot._patch_embedding import PatchEmbeddingDisplay
from skvit.inspection._plot._patch_grid import PatchGridDisplay
from skvit.inspection._plot._pos_embed import PositionSimilarityDisplay
from skvit.inspection._plot._token_embedding import TokenEmbeddingDisplay
from skvit.inspection._plot._training_curve import TrainingCurveDisplay
from skvit.inspection._relevance import attention_relevance

__all__ = [
    "AttentionMapDisplay",
    "MisclassifiedDisplay",
    "PatchEmbeddingDisplay",
    "PatchGridDisplay",
    "PositionSimilarityDisplay",
    "TokenEmbeddingDisplay",
    "TrainingCurveDisplay",
    "attention_maps",
    "attention_relevance",
    "attention_rollout",
    "deletion_insertion_curve",
    "occlusion_map",
]
