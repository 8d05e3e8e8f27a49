"""The crash test: the real desk beside Kite's simulator, its processes killed at every boundary of the order path while the broker misbehaves.

What was promised is judged by the simulator's own log (`judge`); the desk's rows are the accused. `manage.py crashtest` starts it.
"""
