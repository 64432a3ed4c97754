"""Weights by name: from the hubs, through the caches that people have, into plusx's own cache.

entries         the shipped table of pretrained ResNets, with address, hash, licence, preprocessing and accuracy
entry           one row of it
remote          an address, where its file lies in the cache, and hashes
recognising     whether a word is such a name
names           what `timm/resnet50.a1_in1k`, `hf:org/repo@revision`, `https://…` and `imagenet` mean
recommending    which row is best for a network
environment     HF_ENDPOINT, HF_TOKEN, TORCH_HOME and the others that other libraries read
other_caches    files that torch, huggingface_hub, ModelScope and Keras have downloaded already
requesting      one request: proxies, redirects, and where a token may go
downloading     resumed, bounded, verified, atomic
partial_file    what has arrived of a file
refusals        texts for wrong answers
locking         one download of a file at a time
records         the hash of each file when it was first seen
fetching        fetch(): all of that
watching        who is told of the progress

The downloads use the standard library rather than huggingface_hub. With HF_ENDPOINT set, its version 2.4.0 still follows
redirects of the data to other hosts, or fetches it through Xet's servers, and it sends the token to the mirror. It deletes a
partial file when a call ends, and other hubs would need a second downloader anyway.
"""
