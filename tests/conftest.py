"""What every test shares."""

from __future__ import annotations

import os

from hypothesis import settings

os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # before any test loads onnxruntime by itself

settings.register_profile("untimed", deadline=None)  # a busy machine is no failure
settings.load_profile("untimed")
