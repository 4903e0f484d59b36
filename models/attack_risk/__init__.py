"""attack_risk: is an attack under way, and of which class, from the last minute and the last quarter of an hour.

Trained and judged on simulated worlds whose truth is known. `python -m models.attack_risk train|evaluate` tells more.
"""
