"""What the agent costs, measured beside a reference in the same run."""

import os

os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # as in agent.scoring, which says why; for the reference too
