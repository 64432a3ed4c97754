"""The README of a directory for a model server: how to start the server, and a client's exact lines."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

START = {
    "triton": """\
    docker run --rm -p 8000:8000 -v "$PWD:/models" nvcr.io/nvidia/tritonserver:YY.MM-py3 tritonserver --model-repository=/models

YY.MM is a release of Triton, like 26.10. Without Docker: `tritonserver --model-repository=.`
""",
    "ovms": """\
    docker run --rm -p 8000:8000 -v "$PWD:/models" openvino/model_server --config_path /models/config.json --rest_port 8000

Without Docker: `ovms --config_path config.json --rest_port 8000`.
""",
    "kserve": """\
    kubectl cp models POD:/mnt/models      # to the volume that storageUri in inferenceservice.yaml names
    kubectl apply -f inferenceservice.yaml
    kubectl get inferenceservice {service} -o jsonpath='{{.status.url}}'

The last command prints the address that takes the place of http://127.0.0.1:8000 below.
""",
}
CLIENTS = """\
## A client

The server takes images that have the network's size: uint8 (n, {edge}, {edge}, {channels}). With plusx they are made as in training
(`pip install plusx 'tritonclient[http]'`; neither needs torch):

```python
import numpy as np
import tritonclient.http as triton
from pathlib import Path
from plusx.images import Preprocessing, decode, resize_crop

pre = Preprocessing({mode!r}, {resize}, {crop}, {interpolation!r}, mean={mean}, std={std})
image = resize_crop(decode(Path("a.jpg"), pre.mode, at_least_px=pre.decode_px), pre)
images = triton.InferInput("images", [1, *image.shape], "UINT8")
images.set_data_from_numpy(image[None])
logits = triton.InferenceServerClient("127.0.0.1:8000").infer({name!r}, [images]).as_numpy({output!r})
print(np.argsort(-logits[0])[:5])  # line numbers of labels.txt, from 0
```

With curl, for an image in the raw bytes that `resize_crop` returns (`image.tofile("a.raw")`):

```sh
head='{{"inputs":[{{"name":"images","shape":[1,{height},{width},{channels}],"datatype":"UINT8","parameters":{{"binary_data_size":{size}}}}}]}}'
(printf %s "$head"; cat a.raw) | curl -H "Inference-Header-Content-Length: ${{#head}}" --data-binary @- http://127.0.0.1:8000/v2/models/{name}/infer
```
"""
LAST = {
    "triton": "Triton also gives names: `outputs=[triton.InferRequestedOutput({output!r}, class_count=5)]` (value, index and label of the five best).\n",
    "ovms": (
        "OpenVINO Model Server also takes JPEG files (BYTES). It resizes them with OpenCV and without the crop, so its results differ from those of "
        "training.\n"
    ),
    "kserve": "",
}


def layout_readme(layout: str, name: str, about: Mapping[str, Any]) -> str:
    """README.md for the directory of a layout; `name` is the model's name there."""
    before, inside = about["preprocessing_before"], about["preprocessing_inside"]
    crop, channels = before["crop_px"], len(inside["mean"])
    side = crop or 224
    words = {
        "name": name, "output": about["output"]["name"], "service": service_name(name), "edge": crop or "h and w", "channels": channels,
        "mode": before["mode"], "resize": before["resize_px"], "crop": crop, "interpolation": before["interpolation"],
        "mean": tuple(inside["mean"]), "std": tuple(inside["std"]), "height": side, "width": side, "size": side * side * channels,
    }  # fmt: skip
    head = f"# {name}\n\n{about['spec']}, {about['precision']}, {len(about['classes'])} classes; exported by plusx.\n\n## The server\n\n"
    return head + (START[layout] + "\n" + CLIENTS + "\n" + LAST[layout]).format(**words).rstrip() + "\n"


def service_name(name: str) -> str:
    """The name of KServe's InferenceService, which may hold neither _ nor . nor capitals."""
    return name.lower().replace("_", "-").replace(".", "-")
