"""`python -m tests.fuzz NAME [libFuzzer options]`: one codec under Atheris, until it breaks or its -max_total_time is over."""

from __future__ import annotations

import contextlib
import io
import sys

import atheris

with contextlib.redirect_stderr(io.StringIO()), atheris.instrument_imports(include=["agent.wire"]):  # it names every module
    from tests.fuzz.codecs import TARGETS

name, options = (sys.argv[1], sys.argv[2:]) if len(sys.argv) > 1 else ("", [])
if name not in TARGETS:
    sys.exit(f"name one of {', '.join(TARGETS)}")
atheris.Setup([sys.argv[0], "-max_len=4096", *options], TARGETS[name])
atheris.Fuzz()
