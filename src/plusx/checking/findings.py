"""What is said of each deviation: what it is, what follows from it, how to mend it. One entry for each code."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from plusx.checking.differences import Deviation
from plusx.i18n import Message, _

NOTE, WRONG = "note", "deviation"


class Said(NamedTuple):
    """The three sentences of a finding; `mend` is a line of code or what to do."""

    what: Message
    follows: Message
    mend: Message


@dataclass(frozen=True)
class Finding:
    """One kind of deviation and all places that have it. `level` is deviation, or note for what is no fault.

    `places` are the user's own names, `marks` those of the drawing (`svg.drawing.Drawing.marks`).
    """

    code: str
    level: str
    places: tuple[str, ...]
    marks: tuple[str, ...]
    said: Said


def gathered(deviations: Iterable[Deviation]) -> list[Finding]:
    """Findings of deviations, equal ones together, deviations before notes."""
    groups: dict[tuple[str, tuple[tuple[str, Any], ...]], list[Deviation]] = {}
    for each in deviations:
        groups.setdefault((each.code, each.values), []).append(each)
    found: list[Finding] = []
    for (code, values), members in groups.items():
        level, say = TEXTS[code]
        places = tuple(dict.fromkeys(each.place for each in members))
        marks = tuple(dict.fromkeys(each.mark for each in members if each.mark))
        found.append(Finding(code, level, places, marks, say(dict(values))))
    return sorted(found, key=lambda each: each.level == NOTE)


Values = Mapping[str, Any]


def _wrong(say: Callable[[Values], Said]) -> tuple[str, Callable[[Values], Said]]:
    return WRONG, say


def _note(say: Callable[[Values], Said]) -> tuple[str, Callable[[Values], Said]]:
    return NOTE, say


_ASKED = _("If it is meant, name it with --network.")

TEXTS: dict[str, tuple[str, Callable[[Values], Said]]] = {
    # ---- blocks and stages ----
    "stages": _wrong(
        lambda v: Said(
            _("The network has {found} stages instead of {expected}.", **v),
            _("Its depth, its widths and its last map differ from those of the nearest network."),
            _("Give the network {expected} stages.", **v),
        )
    ),
    "missing_block": _wrong(
        lambda v: Said(
            _(
                "Stage {stage} has {found} blocks, one or more too few: {expected} are usual with the other stages.",
                **v,
            ),
            _("The depth is not that of the network's name, and pretrained weights have tensors too many."),
            _("Give this stage {expected} blocks. {asked}", expected=v["expected"], asked=_ASKED),
        )
    ),
    "extra_block": _wrong(
        lambda v: Said(
            _("Stage {stage} has {found} blocks, more than the {expected} that are usual with the other stages.", **v),
            _("The depth is not that of the network's name, and pretrained weights lack the tensors of this block."),
            _("Give this stage {expected} blocks. {asked}", expected=v["expected"], asked=_ASKED),
        )
    ),
    "tangled": _wrong(
        lambda v: Said(
            _("The paths of this block are no branch and shortcut: they share ops, or there are more than two."),
            _("This is no residual block, so F(x) + x cannot be found in it."),
            _("Compute one branch F(x) from x, and return relu(F(x) + shortcut(x))."),
        )
    ),
    "no_shortcut": _wrong(
        lambda v: Said(
            _("The block adds no shortcut: it computes F(x) instead of F(x) + x."),
            _("Gradients reach earlier layers through F alone, and deep networks train badly (plain networks)."),
            _("Keep the input and add it: identity = x … out = out + identity"),
        )
    ),
    "unwanted_shortcut": _wrong(
        lambda v: Said(
            _("The block adds a shortcut, which the other blocks do not have."),
            _("The network is neither plain nor residual."),
            _("Remove the addition."),
        )
    ),
    "late_shortcut": _wrong(
        lambda v: Said(
            _("The shortcut starts after {op} instead of at the input of the block.", **v),
            _("The first convolution is not bridged, so the block is no residual block."),
            _("Keep the input before the first convolution: identity = x"),
        )
    ),
    "early_join": _wrong(
        lambda v: Said(
            _("The shortcut is added before {op} instead of after the last convolution.", **v),
            _("The last convolution is not bridged, so the block is no residual block."),
            _("Add the shortcut after the last norm: out = self.bn2(self.conv2(out)) + identity"),
        )
    ),
    "branch_length": _wrong(
        lambda v: Said(
            _("The branch has {found} convolutions instead of {expected}.", **v),
            _("Its depth, parameters and receptive field are not those of the other blocks."),
            _("Write {expected} convolutions, as in the other blocks.", **v),
        )
    ),
    "join": _wrong(
        lambda v: Said(
            _("The paths meet by {found} instead of {expected}.", **v),
            _("The signal and its gradient are no longer passed on unchanged, which residual learning rests on."),
            _("Write out = out + identity"),
        )
    ),
    "concatenated": _wrong(
        lambda v: Said(
            _("The paths are concatenated ({found}) instead of added.", **v),
            _("Channels grow with every block: this is a DenseNet's way."),
            _("Write out = out + identity"),
        )
    ),
    "scaled_join": _wrong(
        lambda v: Said(
            _("One operand of the addition is multiplied by {by}.", **v),
            _("Weights of other ResNets compute something else here."),
            _("Write out = out + identity"),
        )
    ),
    "added_twice": _wrong(
        lambda v: Said(
            _("A value is added to itself."),
            _("The block computes 2·F(x): the shortcut is lost."),
            _("Add the input of the block: out = out + identity"),
        )
    ),
    # ---- activations and norms ----
    "relu_before_add": _wrong(
        lambda v: Said(
            _("{act} stands before the addition instead of after it.", **v),
            _("F(x) cannot be negative, so the signal can only grow from block to block, and accuracy drops."),
            _("Return relu(F(x) + shortcut): out = self.bn2(self.conv2(out)); out = self.relu(out + identity)"),
        )
    ),
    "act_at_end": _wrong(
        lambda v: Said(
            _("{act} at the end of the branch, before the addition.", **v),
            _("F(x) cannot be negative, so the signal can only grow from block to block, and accuracy drops."),
            _("Remove it: the last op of a branch is its norm."),
        )
    ),
    "no_relu_after_add": _wrong(
        lambda v: Said(
            _("No {act} after the addition.", **v),
            _("The block has one nonlinearity less, and pretrained weights compute something else."),
            _("Write out = self.relu(out + identity)"),
        )
    ),
    "act_after_join": _wrong(
        lambda v: Said(
            _("One {act} too many after the addition.", **v),
            _(
                "In a pre-activation network it breaks the identity path. Elsewhere it does nothing, or changes the values."
            ),
            _("Remove it."),
        )
    ),
    "missing_act": _wrong(
        lambda v: Said(
            _("No {act} here.", **v),
            _("Two convolutions without a nonlinearity between them are one linear map: the layer is lost."),
            _("Write out = self.relu(self.bn1(self.conv1(x)))"),
        )
    ),
    "extra_act": _wrong(
        lambda v: Said(
            _("One {act} too many.", **v),
            _("The values differ from those of the usual network."),
            _("Remove it."),
        )
    ),
    "act_kind": _wrong(
        lambda v: Said(
            _("{found} instead of {expected}, which the other blocks have.", **v),
            _("The values differ, and pretrained weights do not fit them."),
            _("Use {expected} everywhere.", **v),
        )
    ),
    "inplace_shortcut": _wrong(
        lambda v: Said(
            _("An in-place activation overwrites the input of the block before the shortcut reads it."),
            _("The shortcut passes on relu(x) instead of x, so negative values never get through."),
            _("Write nn.ReLU(inplace=False) here, or identity = x.clone() before it."),
        )
    ),
    "missing_norm": _wrong(
        lambda v: Said(
            _("No {norm} after (or before, in a pre-activation network) this convolution.", **v),
            _("Activations grow with depth, and training needs a much lower learning rate or diverges."),
            _("Write self.bn = nn.BatchNorm2d(channels), and call it."),
        )
    ),
    "extra_norm": _wrong(
        lambda v: Said(_("One {norm} too many.", **v), _("Pretrained weights lack its tensors."), _("Remove it."))
    ),
    "norm_after_add": _wrong(
        lambda v: Said(
            _("{norm} stands after the addition instead of before it.", **v),
            _("It rescales the shortcut too, so the input is no longer passed on unchanged (He et al. 2016, table 1)."),
            _("Write out = self.relu(self.bn2(self.conv2(out)) + identity)"),
        )
    ),
    "norm_after_join": _wrong(
        lambda v: Said(
            _("A further {norm} after the addition.", **v),
            _("It rescales the shortcut too, so the input is no longer passed on unchanged (He et al. 2016, table 1)."),
            _("Remove it."),
        )
    ),
    "norm_kind": _wrong(
        lambda v: Said(
            _("{found} instead of {expected}, which the rest of the network has.", **v),
            _("Its statistics differ, and its state dict has other tensors."),
            _("Use {expected} here too.", **v),
        )
    ),
    "norm_groups": _wrong(
        lambda v: Said(
            _("{found} groups instead of {expected}.", **v),
            _("Its statistics differ from those of the other norms."),
            _("Write nn.GroupNorm({expected}, channels)", **v),
        )
    ),
    "order": _wrong(
        lambda v: Said(
            _("The order is {found} instead of {expected}.", **v),
            _("The norm sees values without their negative part, and pretrained weights compute something else."),
            _("Write self.relu(self.bn(self.conv(x)))"),
        )
    ),
    "final_norm": _wrong(
        lambda v: Said(
            _("A pre-activation network ends without norm and activation before its pooling."),
            _("The last sum reaches the classifier unnormalised: accuracy drops, and training can diverge."),
            _("Write x = self.relu(self.bn(x)) after the last stage."),
        )
    ),
    # ---- numbers of convolutions ----
    "kernel": _wrong(
        lambda v: Said(
            _("The kernel is {found} instead of {expected}.", **v),
            _("Parameters, MACs and the receptive field differ, and pretrained weights do not fit."),
            _("Write kernel_size={expected}", **v),
        )
    ),
    "stride": _wrong(
        lambda v: Said(
            _("The stride is {found} instead of {expected}.", **v),
            _("The maps from here on have another size, and so have the receptive fields and the MACs."),
            _("Write stride={expected}. {asked}", expected=v["expected"], asked=_ASKED),
        )
    ),
    "stride_place": _wrong(
        lambda v: Said(
            _("The stride is in {found} here, and in {expected} in the other stages.", **v),
            _("The weights of a pretrained network fit, and compute something else."),
            _("Move stride=2 to {expected}.", **v),
        )
    ),
    "stride_in_1x1": _note(
        lambda v: Said(
            _("The stride is in the first 1x1 convolution, as in the paper and in Caffe's networks."),
            _(
                "torchvision's weights (stride in the 3x3) load and compute something else; three of four cells are never read."
            ),
            _("For torchvision's version write stride=stride in conv2 and stride=1 in conv1."),
        )
    ),
    "padding": _wrong(
        lambda v: Said(
            _("The padding is {found} instead of {expected}.", **v),
            _("The map has another size, or is shifted against the shortcut by a pixel."),
            _("Write kernel_size={kernel}, padding={expected}", **v),
        )
    ),
    "dilation": _wrong(
        lambda v: Said(
            _("The dilation is {found} instead of {expected}.", **v),
            _("The receptive field differs, and pretrained weights compute something else."),
            _("Write dilation={expected} and the same padding.", **v),
        )
    ),
    "groups": _wrong(
        lambda v: Said(
            _("{found} groups instead of {expected}.", **v),
            _("The shape of the weight differs from that of the other blocks."),
            _("Write groups={expected}", **v),
        )
    ),
    "channels": _wrong(
        lambda v: Said(
            _("The channels are {found} instead of {expected}.", **v),
            _("Parameters and MACs differ, and pretrained weights do not fit."),
            _("Make them {expected}.", **v),
        )
    ),
    # ---- shortcuts ----
    "shortcut_kernel": _wrong(
        lambda v: Said(
            _("The projection of the shortcut is {found}x{found} instead of {expected}x{expected}.", **v),
            _("It has nine times the parameters of a 1x1, and pretrained weights do not fit."),
            _("Write nn.Conv2d(c_in, c_out, kernel_size=1, stride=stride, bias=False)"),
        )
    ),
    "shortcut_norm": _wrong(
        lambda v: Said(
            _("The projection of the shortcut has no {norm}.", **v),
            _("Its values are not on the scale of the branch's, and pretrained weights have tensors too many."),
            _("Write nn.Sequential(nn.Conv2d(c_in, c_out, 1, stride, bias=False), nn.BatchNorm2d(c_out))"),
        )
    ),
    "shortcut_act": _wrong(
        lambda v: Said(
            _("{act} on the shortcut.", **v),
            _("Negative values do not pass the shortcut, so it is no projection of x."),
            _("Remove it: the shortcut ends with its norm."),
        )
    ),
    "identity_norm": _wrong(
        lambda v: Said(
            _("{norm} on an identity shortcut.", **v),
            _("The input is rescaled instead of passed on unchanged (He et al. 2016, table 1)."),
            _("Remove it: identity = x"),
        )
    ),
    "first_projection": _wrong(
        lambda v: Said(
            _("A projection in a block whose input and output have the same shape."),
            _(
                "It has parameters that ResNet-18 and 34 lack, so pretrained weights do not fit. Bottleneck networks have one."
            ),
            _(
                "Use the identity where stride == 1 and c_in == c_out. If PaddleClas's network is meant, say --network resnet18_paddle."
            ),
        )
    ),
    "needless_projection": _wrong(
        lambda v: Said(
            _("A projection in a block whose input and output have the same shape."),
            _("It has parameters that the usual network lacks, and the identity path is interrupted."),
            _("Use the identity where stride == 1 and c_in == c_out. {asked}", asked=_ASKED),
        )
    ),
    "shortcut_kind": _wrong(
        lambda v: Said(
            _(
                "The shortcut is {found} instead of {expected}.",
                found=_KINDS[v["found"]],
                expected=_KINDS[v["expected"]],
            ),
            _("It differs from the shortcuts of the other stages, and pretrained weights do not fit."),
            _("Use the same kind of shortcut in every stage."),
        )
    ),
    "raw_projection": _wrong(
        lambda v: Said(
            _("The projection reads the input of the block instead of its activation."),
            _("Pretrained weights of pre-activation networks expect relu(bn1(x)) there, and compute something else."),
            _("Write out = F.relu(self.bn1(x)); shortcut = self.shortcut(out)"),
        )
    ),
    "plain_named": _wrong(
        lambda v: Said(
            _("The network is called {name}, and adds no shortcut anywhere.", **v),
            _(
                "It is a plain network: gradients reach earlier layers through the convolutions alone, and depth makes it worse."
            ),
            _("Keep the input of each block and add it: out = out + identity"),
        )
    ),
    "expansion": _wrong(
        lambda v: Said(
            _("The bottlenecks widen their channels {found} times instead of 4 times.", **v),
            _("Parameters and MACs differ from those of the usual network, and pretrained weights do not fit."),
            _("Write expansion = 4. {asked}", asked=_ASKED),
        )
    ),
    "shortcut_length": _wrong(
        lambda v: Said(
            _("The shortcut has {found} convolutions instead of one.", **v),
            _("It is a second branch rather than a shortcut."),
            _("Write one 1x1 convolution and its norm."),
        )
    ),
    "zero_front": _wrong(
        lambda v: Said(
            _("The zeros of the shortcut stand elsewhere than in the other stages."),
            _("Channels are paired differently, so weights of this network fit no other."),
            _("Pad the same side everywhere."),
        )
    ),
    # ---- gates, dropout ----
    "missing_gate": _wrong(
        lambda v: Said(
            _("No {gate} here, although the other blocks have one.", **v),
            _("Its tensors are missing in the state dict."),
            _("Add the gate to the branch, before the addition."),
        )
    ),
    "extra_gate": _wrong(
        lambda v: Said(
            _("A gate ({gate}) that the other blocks do not have, or that stands elsewhere.", **v),
            _("The branch is weighted differently, and pretrained weights lack its tensors."),
            _("Put it behind the last norm of the branch, in all blocks or in none."),
        )
    ),
    "gate_after_join": _wrong(
        lambda v: Said(
            _("The gate ({gate}) stands after the addition instead of in the branch.", **v),
            _("It scales the shortcut too, so the input is no longer passed on unchanged."),
            _("Write out = self.se(self.bn2(out)) + identity"),
        )
    ),
    "gate_kind": _wrong(
        lambda v: Said(
            _("The gate is {found} instead of {expected}.", **v),
            _("Its tensors differ."),
            _("Use {expected} in all blocks.", **v),
        )
    ),
    "gate_width": _wrong(
        lambda v: Said(
            _("The gate squeezes to {found} channels instead of {expected}.", **v),
            _("Pretrained weights do not fit."),
            _("Squeeze to {expected} channels.", **v),
        )
    ),
    "dropout_place": _wrong(
        lambda v: Said(
            _("Dropout ({rate}) at this place.", **v),
            _(
                "Next to batch norm it shifts the variance between training and evaluation, and accuracy drops (arXiv 1801.05134)."
            ),
            _("Remove it, or put it before the last convolution of the branch in all blocks, or before fc."),
        )
    ),
    "missing_dropout": _wrong(
        lambda v: Said(
            _("No dropout here, although the other blocks have one of {rate}.", **v),
            _("This block is regularised less."),
            _("Add nn.Dropout({rate}) before the last convolution.", **v),
        )
    ),
    "dropout_always": _wrong(
        lambda v: Said(
            _("Dropout that also drops in eval mode."),
            _("Every prediction is random, and accuracy is too low."),
            _("Write nn.Dropout, or F.dropout(x, p, training=self.training)."),
        )
    ),
    "scaled_branch": _wrong(
        lambda v: Said(
            _("The values are multiplied or shifted here."),
            _("Weights of other ResNets compute something else."),
            _("Remove it. If it is meant, plusx has no word for it."),
        )
    ),
    "extra_op": _wrong(
        lambda v: Said(
            _("An op that a ResNet does not have here: {op}.", **v),
            _("Weights of other ResNets compute something else."),
            _("Remove it."),
        )
    ),
    # ---- stem ----
    "stem_branches": _wrong(
        lambda v: Said(
            _("The stem has branches."),
            _("It is no stem of a ResNet."),
            _("Write conv, norm, relu and, on large images, a max pool."),
        )
    ),
    "stem_length": _wrong(
        lambda v: Said(
            _("The stem has {found} convolutions instead of {expected}.", **v),
            _("Depth, parameters and receptive fields differ."),
            _("Write {expected}.", **v),
        )
    ),
    "no_stem_pool": _wrong(
        lambda v: Said(
            _("The stem has no max pool."),
            _("The sides of all later maps are twice as long, and they cost four times the MACs."),
            _("Write nn.MaxPool2d(kernel_size=3, stride=2, padding=1). {asked}", asked=_ASKED),
        )
    ),
    "stem_pool_added": _wrong(
        lambda v: Said(
            _("A pool in a stem that usually has none."),
            _("The sides of all later maps are half as long."),
            _("Remove it."),
        )
    ),
    "stem_pool_kind": _wrong(
        lambda v: Said(
            _("The pool of the stem is {found} instead of max_pool.", **v),
            _("Pretrained weights compute something else."),
            _("Write nn.MaxPool2d(kernel_size=3, stride=2, padding=1)"),
        )
    ),
    "stem_pool": _wrong(
        lambda v: Said(
            _("The pool of the stem has {found} instead of {expected}.", **v),
            _("The maps have another size, or are shifted by a pixel against the usual network."),
            _("Write nn.MaxPool2d({expected})", **v),
        )
    ),
    # ---- head ----
    "no_global_pool": _wrong(
        lambda v: Said(
            _("No global average pool before the classifier, which reads {features} features.", **v),
            _("Only one input size works, and the classifier has a weight for each cell of the last map."),
            _("Write self.avgpool = nn.AdaptiveAvgPool2d(1), then x = torch.flatten(self.avgpool(x), 1)"),
        )
    ),
    "pool_leaves": _wrong(
        lambda v: Said(
            _("The last pool leaves a map of {found} cells instead of one.", **v),
            _("The classifier has a weight for each cell, so only one input size works."),
            _("Write nn.AdaptiveAvgPool2d(1)"),
        )
    ),
    "fixed_pool": _note(
        lambda v: Said(
            _("The last pool has a fixed size, so the network only works with images of {size}.", **v),
            _("Another input size fails, or is cropped without a word."),
            _("Write nn.AdaptiveAvgPool2d(1)"),
        )
    ),
    "max_pool_head": _wrong(
        lambda v: Said(
            _("The last map is pooled by its maximum instead of its mean."),
            _("Pretrained classifiers expect means."),
            _("Write nn.AdaptiveAvgPool2d(1)"),
        )
    ),
    "extra_linear": _wrong(
        lambda v: Said(
            _("{found} linear layers in the head instead of one.", **v),
            _("A ResNet has a single fc; more of them overfit and do not match pretrained weights."),
            _("Write self.fc = nn.Linear(channels, num_classes)"),
        )
    ),
    "act_after_fc": _wrong(
        lambda v: Said(
            _("{act} after the classifier.", **v),
            _("Negative logits become zero, and the loss stalls."),
            _("Return the logits."),
        )
    ),
    "softmax": _wrong(
        lambda v: Said(
            _("softmax at the end of the network."),
            _("nn.CrossEntropyLoss applies it once more: gradients become tiny, and training is slow."),
            _("Return the logits, and apply softmax only where probabilities are shown."),
        )
    ),
    "log_softmax": _note(
        lambda v: Said(
            _("log_softmax at the end of the network."),
            _("It goes with nn.NLLLoss, not with nn.CrossEntropyLoss."),
            _("Return the logits, and use nn.CrossEntropyLoss."),
        )
    ),
    "final_sigmoid": _note(
        lambda v: Said(
            _("sigmoid at the end of the network."),
            _("It goes with nn.BCELoss for several labels, not with nn.CrossEntropyLoss."),
            _("Return the logits, and use nn.BCEWithLogitsLoss or nn.CrossEntropyLoss."),
        )
    ),
    "squeeze": _note(
        lambda v: Said(
            _("squeeze() without a dimension."),
            _("A batch of one image loses its batch dimension, and fails or gives one row."),
            _("Write torch.flatten(x, 1)"),
        )
    ),
    "batch_changed": _wrong(
        lambda v: Said(
            _("{n} images give {found} rows of logits.", **v),
            _("Cells of the map became images: view(-1, features) hides that the map was not pooled to one cell."),
            _("Pool with nn.AdaptiveAvgPool2d(1), and write torch.flatten(x, 1)."),
        )
    ),
    # ---- parameters ----
    "shared_block": _wrong(
        lambda v: Said(
            _("These blocks have the same weights: it is one module, used {times} times.", **v),
            _("The network has fewer parameters than its depth promises ([block] * n repeats one object)."),
            _("Write nn.Sequential(*[Block(…) for _ in range(n)])"),
        )
    ),
    "shared_conv": _wrong(
        lambda v: Said(
            _("One convolution ({names}) is used {times} times.", **v),
            _("The network has fewer parameters than its depth promises."),
            _("Make a convolution for each use."),
        )
    ),
    "shared_norm": _wrong(
        lambda v: Said(
            _("One norm module is used {times} times.", **v),
            _("Its running statistics mix those of several layers, so eval mode is far worse than training."),
            _("Make a norm for each convolution: self.bn1, self.bn2, …"),
        )
    ),
    "not_registered": _wrong(
        lambda v: Said(
            _("The weights of this module are not registered: it stands in a Python list, dict or tuple."),
            _("parameters() and state_dict() lack them: they are never trained, saved or moved to the GPU."),
            _("Use nn.ModuleList, nn.ModuleDict or nn.Sequential."),
        )
    ),
    "made_in_forward": _wrong(
        lambda v: Said(
            _("A layer is made in forward()."),
            _("It has new random weights in every call, and is never trained or saved."),
            _("Make it in __init__, and call it in forward."),
        )
    ),
    "unused": _wrong(
        lambda v: Said(
            _("The parameters of {names} are never used in forward().", **v),
            _("They are saved and counted, and never trained. DistributedDataParallel refuses them."),
            _("Call the module in forward, or remove it."),
        )
    ),
    "bias_before_norm": _note(
        lambda v: Said(
            _("A convolution before a norm has a bias."),
            _("It is harmless: the norm subtracts it again. The state dict has tensors that other ResNets lack."),
            _("Write bias=False"),
        )
    ),
    "momentum": _wrong(
        lambda v: Said(
            _("The momentum of batch norm is {found}, which means {tf} in TensorFlow's counting.", **v),
            _("In torch it is the weight of the new batch: the statistics of eval mode are those of the last batches."),
            _("Write momentum={instead}", **v),
        )
    ),
    "eps": _note(
        lambda v: Said(
            _("The eps of the norm is {found} instead of 1e-05.", **v),
            _("Weights of torch's networks give slightly different values."),
            _("Write eps=1e-5, unless the weights come from a network with {found}.", **v),
        )
    ),
    "no_affine": _wrong(
        lambda v: Said(
            _("The norm has no scale and shift (affine=False)."),
            _("The state dict lacks its weight and bias, and the branch can't learn its scale."),
            _("Write affine=True"),
        )
    ),
    "batch_statistics": _wrong(
        lambda v: Said(
            _("The norm uses the statistics of the batch in eval mode too."),
            _("A prediction depends on the other images of its batch; a single image gives nonsense."),
            _("Write track_running_stats=True and call self.bn(x), or F.batch_norm(…, training=self.training)."),
        )
    ),
    "name": _note(
        lambda v: Said(
            _("The name says {said}, and the depth is {depth}.", **v),
            _("Only convolutions of stem and branches and fc are counted; pools and projections are not."),
            _("Call it ResNet{counted}.", **v),
        )
    ),
    # ---- forward passes that fail ----
    "forward_fails": _wrong(
        lambda v: Said(
            _("The forward pass fails with an input of {input}: {error}", **v),
            _("The network cannot be used or read."),
            _("Mend this line: {line}", **v),
        )
    ),
    "module_is_none": _wrong(
        lambda v: Said(
            _("{name} is None when it is called.", **v),
            _("The forward pass fails: {error}", **v),
            _("Make {name} in every branch of __init__, or test it before the call.", **v),
        )
    ),
    "padded_1x1": _wrong(
        lambda v: Said(
            _("A 1x1 convolution with padding={padding}.", **v),
            _("Its map is {more} pixels larger, and the forward pass fails: {error}", **v),
            _("Write kernel_size=1, padding=0"),
        )
    ),
    "unpadded": _wrong(
        lambda v: Said(
            _(
                "A {kernel}x{kernel} convolution of dilation {dilation} with padding={padding} does not keep the size.",
                **v,
            ),
            _("Branch and shortcut have different sizes, and the forward pass fails: {error}", **v),
            _("Write padding={expected}", **v),
        )
    ),
    "stride_mismatch": _wrong(
        lambda v: Said(
            _("The branch has a stride of {branch}, and the shortcut one of {shortcut}.", **v),
            _("Their maps have different sizes, and the forward pass fails: {error}", **v),
            _("Give the projection the stride of the branch: nn.Conv2d(c_in, c_out, 1, stride=stride)"),
        )
    ),
    "channel_mismatch": _wrong(
        lambda v: Said(
            _("The branch has {branch} channels, and the shortcut {shortcut}.", **v),
            _("They cannot be added, and the forward pass fails: {error}", **v),
            _("Project the shortcut to the channels of the branch where they differ."),
        )
    ),
    "not_flat": _wrong(
        lambda v: Said(
            _("The classifier gets a map of shape {shape} and expects {features} features.", **v),
            _("The forward pass fails: {error}", **v),
            _("Write x = torch.flatten(self.avgpool(x), 1), with nn.AdaptiveAvgPool2d(1)."),
        )
    ),
    "wrong_channels": _wrong(
        lambda v: Said(
            _("This module gets {found} channels and expects {expected}.", **v),
            _("The forward pass fails: {error}", **v),
            _("Give it the channels of the map before it: {found}", **v),
        )
    ),
    "no_spec": _wrong(
        lambda v: Said(
            _("No residual or plain blocks of two or three convolutions were found."),
            _("The network is not a ResNet."),
            _("Compare it with plusx explain resnet18."),
        )
    ),
    "no_resnet": _wrong(
        lambda v: Said(
            _("Most of its parts are those of no ResNet that plusx knows."),
            _("The network is not a ResNet, and a list of all differences would say nothing."),
            _("If it is meant to be one, say which: plusx check … --network resnet50"),
        )
    ),
}

_KINDS = {
    "identity": _("the identity"),
    "projection": _("a projection"),
    "pooled": _("a pool and a projection"),
    "max_pooled": _("a max pool and a projection"),
    "zeros": _("zeros for the new channels"),
    "other": _("another op"),
}
