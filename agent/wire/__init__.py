"""Codecs: bytes in, frames out, no I/O, no clock. Noise is skipped and counted, never raised; every buffer is bounded."""
