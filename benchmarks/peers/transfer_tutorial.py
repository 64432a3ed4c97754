"""PyTorch's "Transfer Learning for Computer Vision Tutorial" (Sasank Chilamkurthy; pytorch.org/tutorials/beginner/transfer_learning_tutorial):
batches of 4, SGD 0.001 with momentum 0.9, a tenth every 7 epochs, 25 epochs, the best epoch kept. --fixed is its "ConvNet as fixed
feature extractor", otherwise its "Finetuning the ConvNet".

    python transfer_tutorial.py WEIGHTS TASK [--fixed] [--epochs 25]      (TASK has data/train, data/val and test)
"""
from clock import Clock
import argparse, copy, json, os, pathlib
import numpy as np, torch, torchvision
from torchvision import transforms as T
import plusx

a = argparse.ArgumentParser(); a.add_argument("weights"); a.add_argument("task", type=pathlib.Path); a.add_argument("--seed", type=int, default=0)
a.add_argument("--fixed", action="store_true"); a.add_argument("--no-flip", action="store_true"); a.add_argument("--epochs", type=int, default=25)
a.add_argument("--batch", type=int, default=4); a.add_argument("--workers", type=int, default=os.cpu_count()); a = a.parse_args()
clock = Clock()
torch.manual_seed(a.seed)
if "OMP_NUM_THREADS" in os.environ: torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
net = plusx.load(a.weights)
pre = net.preprocessing
normalise = [T.ToTensor(), T.Normalize(np.divide(pre.mean, pre.scale * 255).tolist(), np.divide(pre.std, pre.scale * 255).tolist())]
augment = T.Compose([T.RandomResizedCrop(pre.crop_px), *([] if a.no_flip else [T.RandomHorizontalFlip()]), *normalise])
centre = T.Compose([T.Resize(pre.resize_px), T.CenterCrop(pre.crop_px), *normalise])

def loader(folder, transform, batch, shuffle=False):
    return torch.utils.data.DataLoader(torchvision.datasets.ImageFolder(folder, transform), batch_size=batch, shuffle=shuffle, num_workers=a.workers)

def count(images):
    net.eval()
    with torch.inference_mode():
        found = [(net(x).argmax(1) == y).tolist() for x, y in images]
    return sum(map(sum, found)), sum(map(len, found))

train, val = loader(a.task / "data/train", augment, a.batch, True), loader(a.task / "data/val", centre, a.batch)
if a.fixed: net.requires_grad_(False)
net.fc = torch.nn.Linear(net.fc.in_features, len(train.dataset.classes))
optimizer = torch.optim.SGD((net.fc if a.fixed else net).parameters(), lr=0.001, momentum=0.9)
scheduler, loss_of = torch.optim.lr_scheduler.StepLR(optimizer, step_size=7, gamma=0.1), torch.nn.CrossEntropyLoss()
best, kept = -1, None
for epoch in range(a.epochs):
    net.train()
    for x, y in train:
        optimizer.zero_grad()
        loss_of(net(x), y).backward()
        optimizer.step()
    scheduler.step()
    right, n = count(val)
    clock.note(f"epoch {epoch + 1}", n=n, top1=right / n)
    if right > best:
        best, kept = right, copy.deepcopy(net.state_dict())
net.load_state_dict(kept)
end = clock.now()
right, n = count(loader(a.task / "test", centre, 32))
print(json.dumps({**end, "points": clock.points, "n": n, "right": right}))
