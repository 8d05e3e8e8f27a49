"""A broker to try the desk against: Kite Connect v3 over plain HTTP on 127.0.0.1, in memory, with faults on request.

It knows nothing of the desk. `server.start()` runs one inside a process, `manage.py kitesim` alone; docs/kitesim.md says how to use it.
"""
