"""fault: will this machine need a technician within the next three days, from its own counters, words and physical features.

The model that ships learned from simulated machines. The same forest on AI4I 2020 is the yardstick that others can repeat.
"""
