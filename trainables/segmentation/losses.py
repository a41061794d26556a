"""Losses over class maps; ignored pixels count nowhere.

Shapes: B batch, C classes, H height, W width.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from trainables.parts.whole_batch import batch_mean, batch_sum

IGNORED = 255


def focal_map_loss(logits_BCHW: Tensor, labels_BHW: Tensor, *, gamma: float) -> Tensor:
    """Mean of (1 - p_t)^gamma x cross-entropy over the labelled pixels.

    Gamma 0 is plain cross-entropy.

    Source: Lin et al. 2017, https://arxiv.org/abs/1708.02002 (eq. 4, without alpha), with softmax
    for its sigmoid. A batch without a labelled pixel has loss 0.
    """
    entropy_BHW = F.cross_entropy(
        logits_BCHW.float(), labels_BHW.long(), ignore_index=IGNORED, reduction="none"
    )
    error_BHW = (1 - (-entropy_BHW).exp()).clamp(
        min=1e-7
    )  # at 0 its power has no finite gradient for gamma < 1
    return batch_mean((error_BHW**gamma * entropy_BHW).sum(), (labels_BHW != IGNORED).sum())


def soft_dice_loss(logits_BCHW: Tensor, labels_BHW: Tensor) -> Tensor:
    """1 - the mean Dice coefficient 2 |P x Y| / (|P| + |Y|) of softmax maps P and labels Y.

    Each class is summed over the whole batch, and those without a label in it are left out, as in
    Milletari et al. 2016, V-Net, https://arxiv.org/abs/1606.04797 (eq. 8, without squares). A batch
    without a labelled pixel has loss 0.
    """
    labelled_BHW = labels_BHW != IGNORED
    classes = logits_BCHW.shape[1]
    probability_BCHW = logits_BCHW.float().softmax(1) * labelled_BHW[:, None]
    label_BHW = torch.where(labelled_BHW, labels_BHW, 0).long()
    truth_BCHW = F.one_hot(label_BHW, classes).movedim(-1, 1) * labelled_BHW[:, None]
    maps = (probability_BCHW * truth_BCHW, probability_BCHW, truth_BCHW)
    both_C, probability_C, truth_C = batch_sum(torch.stack([m.sum((0, 2, 3)) for m in maps]))
    present_C = truth_C > 0
    dice_C = 2 * both_C / (probability_C + truth_C).clamp(min=1e-7)
    return ((1 - dice_C) * present_C).sum() / present_C.sum().clamp(min=1)
