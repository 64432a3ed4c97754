"""Logistic regression on a frozen network's features, written by hand: torch, torchvision's transforms, scikit-learn.

    python transfer_sklearn.py WEIGHTS TASK      (TASK has data/train, data/val and test)
"""
from clock import Clock
import argparse, json, os, pathlib
import numpy as np, torch, torchvision
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torchvision import transforms as T
import plusx

a = argparse.ArgumentParser(); a.add_argument("weights"); a.add_argument("task", type=pathlib.Path); a.add_argument("--seed", type=int, default=0)
a.add_argument("--no-flip", action="store_true", help="for the other scripts: nothing is flipped here"); a.add_argument("--batch", type=int, default=32); a = a.parse_args()
clock = Clock()
torch.manual_seed(a.seed)
net = plusx.load(a.weights).eval()
pre = net.preprocessing
net.fc = None
if "OMP_NUM_THREADS" in os.environ: torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
transform = T.Compose([T.Resize(pre.resize_px), T.CenterCrop(pre.crop_px), T.ToTensor(), T.Normalize(np.divide(pre.mean, pre.scale * 255).tolist(), np.divide(pre.std, pre.scale * 255).tolist())])

def features(folder):
    data = torchvision.datasets.ImageFolder(folder, transform)
    with torch.inference_mode():
        found = [(net(x).numpy(), y.numpy()) for x, y in torch.utils.data.DataLoader(data, batch_size=a.batch, num_workers=os.cpu_count())]
    return [np.concatenate(part) for part in zip(*found)]

x, y = features(a.task / "data/train")
folds = min(5, np.bincount(y).min())
search = GridSearchCV(make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000)), {"logisticregression__C": np.logspace(-4, 1, 6)}, cv=folds).fit(x, y)
x, y = features(a.task / "data/val")
clock.note("val", n=len(y), top1=float((search.predict(x) == y).mean()))
end = clock.now()
x, y = features(a.task / "test")
print(json.dumps({**end, "points": clock.points, "n": len(y), "right": int((search.predict(x) == y).sum()), "c": search.best_params_["logisticregression__C"]}))
