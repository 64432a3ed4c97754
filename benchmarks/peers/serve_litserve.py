"""torchvision's ResNet behind LitServe, as its own parity test has it: a JPEG in base64 in JSON, top 5 as JSON.

--workers processes, each with its share of torch's threads; --best adds channels_last and bf16 autocast; --batch is LitServe's max_batch_size.
"""
import argparse, base64, io
import litserve as ls
import torch, torchvision
from PIL import Image
from torchvision import transforms as T

a = argparse.ArgumentParser(); a.add_argument("--model", default="resnet50"); a.add_argument("--weights"); a.add_argument("--port", type=int, default=8000)
a.add_argument("--best", action="store_true"); a.add_argument("--workers", type=int, default=2); a.add_argument("--batch", type=int, default=1); a = a.parse_args()
cores = torch.get_num_threads()


class Classifier(ls.LitAPI):
    def setup(self, device):
        torch.set_num_threads(max(1, cores // a.workers))
        self.transform = T.Compose([T.Resize(256), T.CenterCrop(224), T.ToTensor(), T.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])])
        self.net = getattr(torchvision.models, a.model)().eval()
        if a.weights: self.net.load_state_dict(torch.load(a.weights, weights_only=True))
        if a.best: self.net = self.net.to(memory_format=torch.channels_last)

    def decode_request(self, request):
        return self.transform(Image.open(io.BytesIO(base64.b64decode(request["image"]))).convert("RGB"))

    def batch(self, inputs):
        return torch.stack(inputs)

    def predict(self, x):
        x = x if x.ndim == 4 else x[None]
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=a.best):
            p, i = self.net(x.contiguous(memory_format=torch.channels_last) if a.best else x).float().softmax(1).topk(5)
        rows = [[{"class": c, "p": q} for c, q in zip(*row)] for row in zip(i.tolist(), p.tolist())]
        return rows if a.batch > 1 else rows[0]

    def unbatch(self, output):
        return output

    def encode_response(self, output):
        return {"top": output}


if __name__ == "__main__":
    api = Classifier(max_batch_size=a.batch, batch_timeout=0.005 if a.batch > 1 else 0.0)
    server = ls.LitServer(api, accelerator="cpu", workers_per_device=a.workers)
    server.run(host="127.0.0.1", port=a.port, generate_client_file=False, log_level="error")
