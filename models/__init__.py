"""Models that the agent runs: a folder a model, with how it is trained, the exported .onnx and its card.

Nothing here is imported by the agent; it reads the .onnx files. Training wants the extra `train`.
"""

import os

os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # as in agent.scoring, which says why
