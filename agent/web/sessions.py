"""Who is signed in. One secret for the gateway, sessions in memory, and a brake on guessing."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Callable

IDLE = 1_800.0  # s without a request after which a session ends
LIFE = 8 * 3_600.0  # s after which it ends anyhow: a shift
MOST = 16  # sessions at once; the one that was idle longest makes room
FREE_TRIES = 5  # wrong secrets before the brake
LONGEST_WAIT = 300.0  # s between two tries at most


class Sessions:
    """`now` is a monotonic clock in seconds."""

    def __init__(self, secret: str, now: Callable[[], float]) -> None:
        self._digest = hashlib.sha256(secret.encode()).digest()
        self._now = now
        self._open: dict[str, tuple[float, float]] = {}  # token -> began, last used
        self._wrong = 0
        self._next_try = float("-inf")

    def wait(self) -> float:
        """Seconds until the next secret is looked at; 0 when it may come now."""
        return max(0.0, self._next_try - self._now())

    def sign_in(self, secret: str) -> str | None:
        """A token for the right secret, None for a wrong one. Each wrong one beyond some doubles the wait for everybody."""
        if self.wait() > 0.0 or not hmac.compare_digest(hashlib.sha256(secret.encode()).digest(), self._digest):
            if self.wait() == 0.0:
                self._wrong += 1
                if self._wrong >= FREE_TRIES:
                    self._next_try = self._now() + min(2.0 ** (self._wrong - FREE_TRIES), LONGEST_WAIT)
            return None
        self._wrong = 0
        if len(self._open) >= MOST:
            del self._open[min(self._open, key=lambda token: self._open[token][1])]
        token = secrets.token_urlsafe(32)
        self._open[token] = self._now(), self._now()
        return token

    def is_open(self, token: str) -> bool:
        """Whether a token's session goes on; asking keeps it from growing idle."""
        now = self._now()
        began, used = self._open.get(token, (float("-inf"), float("-inf")))
        if now - used > IDLE or now - began > LIFE:
            self._open.pop(token, None)
            return False
        self._open[token] = began, now
        return True

    def sign_out(self, token: str) -> None:
        """End a session."""
        self._open.pop(token, None)
