"""Losses as plain functions."""

import torch.nn.functional as F
from torch import Tensor


def focal_cross_entropy(
    logits_BC: Tensor, labels_B: Tensor, *, gamma: float = 0.0, label_smoothing: float = 0.0
) -> Tensor:
    """Mean of (1 - p_t)^gamma x cross-entropy; gamma 0 is plain cross-entropy.

    Source: Lin et al. 2017, Focal Loss for Dense Object Detection, https://arxiv.org/abs/1708.02002
    (eq. 4, without alpha). With label smoothing only the cross-entropy's target is smoothed; p_t
    stays the true class's probability.
    """
    if gamma == 0:
        return F.cross_entropy(logits_BC, labels_B, label_smoothing=label_smoothing)
    loss_B = F.cross_entropy(logits_BC, labels_B, label_smoothing=label_smoothing, reduction="none")
    true_probability_B = logits_BC.softmax(-1).gather(-1, labels_B[:, None]).squeeze(-1)
    error_B = (1 - true_probability_B).clamp(
        min=1e-7
    )  # at 0 its power has no finite gradient for gamma < 1
    return (error_B**gamma * loss_B).mean()


def soft_focal_cross_entropy(
    logits_BC: Tensor, targets_BC: Tensor, *, gamma: float = 0.0, label_smoothing: float = 0.0
) -> Tensor:
    """`focal_cross_entropy` of targets that are shares of classes: each class's by its share."""
    if gamma == 0:
        return F.cross_entropy(logits_BC, targets_BC, label_smoothing=label_smoothing)
    log_BC = logits_BC.log_softmax(-1)
    smoothed_BC = -(1 - label_smoothing) * log_BC - label_smoothing * log_BC.mean(-1, keepdim=True)
    error_BC = (1 - log_BC.exp()).clamp(min=1e-7)
    return (targets_BC * error_BC**gamma * smoothed_BC).sum(-1).mean()
