"""tabular: any CSV with a label to a score between 0 and 1, explained column by column, as one ONNX graph."""
