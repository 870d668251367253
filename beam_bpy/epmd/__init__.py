"""Being found: the port mapper, which tells other nodes the port of a node.

Chapter "Distribution Protocol", section "EPMD Protocol".

- `client`: asking an epmd
- `registration`: keeping this node registered
- `server`: the embedded epmd, for a machine on which none runs
"""
