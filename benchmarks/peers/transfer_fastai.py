"""fastai's `vision_learner` and `fine_tune`, as in chapter 2 of its book (4 epochs, RandomResizedCrop, aug_transforms), weights from a file.

    python transfer_fastai.py WEIGHTS TASK [--epochs 4]      (TASK has data/train, data/val and test)

The body is the network's own layers, split for learning rates as fastai splits its ResNets. The batch is smaller than fastai's 64
where an epoch would otherwise have fewer than eight steps.
"""
from clock import Clock
import argparse, json, os, pathlib, warnings
warnings.filterwarnings("ignore")
import numpy as np, torch
from fastai.vision.all import (Callback, CategoryBlock, DataBlock, GrandparentSplitter, ImageBlock, L, Normalize, RandomResizedCrop, accuracy,
                               aug_transforms, get_image_files, params, parent_label, set_seed, vision_learner)
import plusx

a = argparse.ArgumentParser(); a.add_argument("weights"); a.add_argument("task", type=pathlib.Path); a.add_argument("--seed", type=int, default=0)
a.add_argument("--no-flip", action="store_true"); a.add_argument("--epochs", type=int, default=4); a = a.parse_args()
clock = Clock()
set_seed(a.seed)
if "OMP_NUM_THREADS" in os.environ: torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
net = plusx.load(a.weights)
pre = net.preprocessing
arch = lambda pretrained: torch.nn.Sequential(*(child for child in net.children() if child is not net.fc))
block = DataBlock(blocks=(ImageBlock, CategoryBlock), get_items=get_image_files, get_y=parent_label, splitter=GrandparentSplitter("train", "val"),
                  item_tfms=RandomResizedCrop(pre.crop_px, min_scale=0.5),
                  batch_tfms=[*aug_transforms(do_flip=not a.no_flip), Normalize.from_stats(np.divide(pre.mean, pre.scale * 255), np.divide(pre.std, pre.scale * 255), cuda=False)])
n_train = len(get_image_files(a.task / "data/train"))
dls = block.dataloaders(a.task / "data", bs=min(64, max(4, n_train // 8)), num_workers=os.cpu_count(), device=torch.device("cpu"))

class Notes(Callback):
    order = 70  # after the Recorder, which computes the metrics
    def after_validate(self):
        self.epochs = getattr(self, "epochs", 0) + 1
        clock.note(f"epoch {self.epochs}", n=len(dls.valid_ds), top1=float(self.recorder.metrics[0].value))

def split(model):  # as fastai's _resnet_split: up to layer2, then layer3 and layer4, then the head
    body = model[0]
    return L(body[:-2], body[-2:], model[1:]).map(params)

learn = vision_learner(dls, arch, splitter=split, metrics=accuracy, cbs=Notes)
x = torch.randn(2, 3, 64, 64)
with torch.inference_mode(), learn.no_bar(): assert torch.equal(learn.model[0].eval()(x), net.eval().forward_features(x)), "the body is not the network"
with learn.no_bar(), learn.no_logging(): learn.fine_tune(a.epochs)
end = {**clock.now(), "points": list(clock.points)}
with learn.no_bar(): probabilities, labels = learn.get_preds(dl=dls.test_dl(get_image_files(a.task / "test"), with_labels=True))
print(json.dumps({**end, "n": len(labels), "right": int((probabilities.argmax(1) == labels).sum()), "batch": dls.bs}))
