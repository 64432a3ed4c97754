"""Structure of a network by the tools that trace it: python trace.py torchview|torchlens [resnet50]"""
import sys
import torch, torchvision
tool, name = sys.argv[1], (sys.argv[2:] or ["resnet50"])[0]
net = getattr(torchvision.models, name)().eval()
if tool == "torchview":
    from torchview import draw_graph
    print(draw_graph(net, input_size=(1, 3, 224, 224), depth=3, device="meta").visual_graph.source[:200])
else:
    import torchlens
    trace = torchlens.trace(net, torch.randn(1, 3, 64, 64))
    print(trace["layer4"].receptive_field.size)
