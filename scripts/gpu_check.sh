#!/usr/bin/env bash
# What needs a GPU, in one run of about 8 minutes: training in bf16 and fp32, resume, one process under NCCL, training from
# weights, the torch engine, and images a second beside torchvision. Prints one line a check; exit 1 when one fails.
#   DEVICE=cuda PYTHON=.venv/bin/python scripts/gpu_check.sh      (DEVICE=cpu tries the script itself on a machine without one)
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
DEVICE=${DEVICE:-cuda} PYTHON=${PYTHON:-.venv/bin/python}
SCRATCH=$(mktemp -d); trap 'rm -rf "$SCRATCH"' EXIT
export PLUSX_CACHE=$SCRATCH/cache
failed=0
plusx() { "$PYTHON" -m plusx "$@"; }
check() { # NAME COMMAND…
    local name=$1 begun=$SECONDS; shift
    if "$@" >"$SCRATCH/log" 2>&1; then echo "ok      $name ($((SECONDS - begun)) s)"; else failed=1; echo "FAILED  $name"; tail -n 5 "$SCRATCH/log"; fi
}
interrupted() { # trains, ends after the first checkpoint, resumes
    plusx train resnet20 --data digits --recipe "digits epochs=6" --device "$DEVICE" --checkpoint-seconds 0.1 --out "$SCRATCH/cut" & local child=$!
    for _ in $(seq 600); do compgen -G "$SCRATCH/cut/checkpoints/step-*" >/dev/null && break; sleep 0.1; done
    kill -TERM "$child"; wait "$child"
    plusx train --resume "$SCRATCH/cut" --device "$DEVICE" && plusx runs "$SCRATCH/cut" | grep -q done
}
fast() { # images a second of one training step, plusx's network beside torchvision's
    "$PYTHON" - "$DEVICE" <<'P'
import sys, time
import torch, torchvision, plusx
device = torch.device(sys.argv[1])
size, batch = (224, 128) if device.type == "cuda" else (64, 8)
x = torch.randn(batch, 3, size, size, device=device).to(memory_format=torch.channels_last)
y = torch.randint(0, 1000, (batch,), device=device)
def rate(net):
    net = net.to(device, memory_format=torch.channels_last).train()
    sgd = torch.optim.SGD(net.parameters(), 0.01, 0.9)
    def step():
        sgd.zero_grad(set_to_none=True)
        with torch.autocast(device.type, torch.bfloat16):
            loss = torch.nn.functional.cross_entropy(net(x).float(), y)
        loss.backward(); sgd.step(); return loss.item()
    step(); step(); begun = time.perf_counter(); n = 10
    for _ in range(n): step()
    return n * batch / (time.perf_counter() - begun)
ours, theirs = rate(plusx.build("resnet50")), rate(torchvision.models.resnet50())
print(f"resnet50, {size} px, batch {batch}, bf16: plusx {ours:.0f} images/s, torchvision {theirs:.0f}, ratio {ours / theirs:.2f}")
P
    tail -n 1 "$SCRATCH/log" >&3
}
exec 3>&1
"$PYTHON" -c "import torch; print('torch', torch.__version__, '|', torch.cuda.get_device_name() if torch.cuda.is_available() else 'no GPU')"
for precision in bf16 fp32; do
    check "train in $precision" plusx train resnet20 --data digits --recipe "digits epochs=6" --precision $precision --device "$DEVICE" --out "$SCRATCH/$precision"
done
check "interrupt and resume" interrupted
check "AdamW, recomputed blocks" plusx train resnet20 --data digits --recipe "digits epochs=2 optimiser=adamw lr=0.001 grad_checkpointing=yes" --device "$DEVICE" --out "$SCRATCH/adamw"
check "learning-rate test" plusx train resnet20 --data digits --find-lr --device "$DEVICE" --out "$SCRATCH/rates.svg"
check "profile" plusx train resnet20 --data digits --profile --device "$DEVICE" --out "$SCRATCH/steps.json"
check "one process under torchrun" "$PYTHON" -m torch.distributed.run --nproc-per-node=1 --rdzv-backend=c10d --rdzv-endpoint=localhost:0 \
    -m plusx train resnet20 --data digits --recipe "digits epochs=2" --device "$DEVICE" --out "$SCRATCH/ranks"
check "from weights: kept maps" plusx train --weights "$SCRATCH/fp32" --data digits --recipe "layer4 freeze=layer2 flip=no epochs=3" --device "$DEVICE" --out "$SCRATCH/layer4"
check "from weights: finetune" plusx train --weights "$SCRATCH/fp32" --data digits --recipe "finetune flip=no epochs=3" --device "$DEVICE" --out "$SCRATCH/finetune"
check "evaluate" plusx evaluate "$SCRATCH/fp32" --data digits --device "$DEVICE"
check "predict --engine torch" plusx predict "$SCRATCH/fp32" docs --engine torch --device "$DEVICE" --format csv -o "$SCRATCH/rows.csv"
check "images a second" fast
exit $failed
