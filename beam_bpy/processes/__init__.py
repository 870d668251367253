"""Python as a caller: calls, messages and monitors from here to other nodes, and processes that other nodes know.

- `client`: calls, casts, messages and pings
- `beam_process`: Python processes with a pid
- `group_leader`, `logger_proxy`: what BEAM processes print and log that calls from Python have started
- `monitors`: monitors without a process
"""
