"""A server of bundles: the Open Inference Protocol v2 over REST, uploads, metrics and a page. It imports no torch."""
