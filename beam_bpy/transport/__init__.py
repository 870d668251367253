"""Sockets and threads. No other package of `beam_bpy` does I/O.

- `loop`: the selector, timers and the network thread; `lending`: which thread runs the loop
- `stream`: one TCP connection; `tls`: one that is encrypted, and its certificates
- `listener`, `connector`, `resolver`: accepting, connecting, looking up host names
- `addresses`: which addresses stand for one machine; `refusal_log`: log lines about refused connections
"""
