"""torchvision's ResNet behind FastAPI and uvicorn: what most tutorials show. POST /predict with a JPEG as the body, top 5 as JSON.

--best adds channels_last and bf16 autocast. Requests are computed in the thread pool, --at-a-time of them, torch's threads shared.
"""
import argparse, io, threading
import torch, torchvision, uvicorn
from fastapi import FastAPI, Request
from fastapi.concurrency import run_in_threadpool
from PIL import Image
from torchvision import transforms as T

a = argparse.ArgumentParser(); a.add_argument("--model", default="resnet50"); a.add_argument("--weights"); a.add_argument("--port", type=int, default=8000)
a.add_argument("--best", action="store_true"); a.add_argument("--at-a-time", type=int, default=2); a = a.parse_args()
torch.set_num_threads(max(1, torch.get_num_threads() // a.at_a_time))
transform = T.Compose([T.Resize(256), T.CenterCrop(224), T.ToTensor(), T.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])])
net = getattr(torchvision.models, a.model)().eval()
if a.weights: net.load_state_dict(torch.load(a.weights, weights_only=True))
if a.best: net = net.to(memory_format=torch.channels_last)
app, places = FastAPI(), threading.Semaphore(a.at_a_time)


def classify(raw):
    with places:
        x = transform(Image.open(io.BytesIO(raw)).convert("RGB"))[None]
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=a.best):
            p, i = net(x.contiguous(memory_format=torch.channels_last) if a.best else x).float().softmax(1).topk(5)
    return [{"class": c, "p": q} for c, q in zip(i[0].tolist(), p[0].tolist())]


@app.get("/health")
def health():
    return {"ok": True}


@app.post("/predict")
async def predict(request: Request):
    return {"top": await run_in_threadpool(classify, await request.body())}


blank = io.BytesIO()
Image.new("RGB", (300, 300)).save(blank, "JPEG")
classify(blank.getvalue())  # the first call is slower
uvicorn.run(app, host="127.0.0.1", port=a.port, log_level="error")
