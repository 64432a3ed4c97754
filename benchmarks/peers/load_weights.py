"""All tensors of a weights file in memory, by torch alone: python load_weights.py FILE"""
import sys
import torch
state = torch.load(sys.argv[1], map_location="cpu", weights_only=True)
print(len(state), "tensors")
