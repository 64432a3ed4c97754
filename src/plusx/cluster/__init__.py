"""One job on many machines: its inputs in parts, each with a manifest, and the proof that the parts are the whole."""
