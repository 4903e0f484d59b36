"""Stages of the pipeline: values and times in, values out. No clock, no file, no socket, no thread.

A stage has `feed(reading)`, called in the order of arrival with what the stage before let through; `due`, the moment at which
time alone may give it something to say; and `tick(now)`, called at that moment. Both return what the stage has to say. So it
makes no difference how often somebody looks. `shift(by)` is called when the clock was set.

What a stage must know again after a restart it gives out as notes: `changed()` returns the documents that changed since it was
last asked, `restore(documents)` takes them back once, before the first Reading.
"""

from __future__ import annotations

from typing import Any, TypeAlias

Documents: TypeAlias = dict[str, dict[str, Any] | None]
"""name -> a small JSON object, or None to forget it"""
