"""A simulated cash machine: the world around it (pure, seeded), its sensor board, bad lines and real ports.

    parts of the machine ─> site ─> people, mishaps, attackers ─> scenarios ─> world ─> board ─> firmware ─> shell

The world knows no clock, file or socket: it is stepped. The same seed gives the same bytes on the wire.
"""
