"""Python as a caller: calls, messages and monitors from here to other nodes, and processes that other nodes know.

- `client`: calls, casts, messages and pings
- `beam_process`: Python processes with a pid
- `monitors`: monitors without a process
"""
