"""Edge gateway agent for cash machines: an observer that tells the truth through outages."""

__version__ = "0.1.0"
