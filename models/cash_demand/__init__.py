"""Demand for cash: daily quantiles for 56 days and quantiles of what is asked for in 1 to 14 days, by one ONNX graph."""
