"""Signed requests from the platform: verified, written down, done once, answered through the store.

    platform ──token──> open_request ──> Desk: journal ──> command ──> Answer in the lane of alarms

A request is refused unless the operator's key has signed it, it names this gateway, is in time, was never seen before and asks
for something on the allow-list (`commands`). Nothing on that list moves cash, runs a shell or takes a path. docs/control.md
tells the token byte by byte.
"""

from __future__ import annotations

TABLE = "control"  # of the store's notes: the journal of requests
