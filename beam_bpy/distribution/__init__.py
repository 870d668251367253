"""The node and its connections: what `net_kernel` and the distribution port are on the BEAM.

- `process`, `peer`, `node`: processes, links and monitors, and the routing of control messages
- `connection`: an established connection; `backpressure`: what happens when its peer sends or owes too much
- `connections`: all connections of the node; `connection_setup`: a pending connection, from the lookup to the handshake
"""
