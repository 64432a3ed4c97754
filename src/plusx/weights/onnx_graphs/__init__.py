"""A ResNet read from an ONNX graph: constants, steps, sections and the spec whose network agrees in every number."""
