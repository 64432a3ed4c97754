"""What the feature vectors of a pretrained network tell: a classifier for new classes, and faults of a data set. No torch."""
