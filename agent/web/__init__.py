"""The technician's page: one machine's doors, cassettes, sensors, cash, scores and alarms, live, in a browser.

Off unless it is configured. It shows, and with a signed-in technician it announces a visit; it can do nothing else. Everything
that it serves is in this folder: no request leaves for anywhere, and no text of a device is ever taken as markup.
"""
