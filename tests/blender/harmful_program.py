"""A plain program whose handlers do harm. usage: harmful_program.py start|serve_forever

It prints the address of its node, and logs everything to standard error.
"""

import importlib
import logging
import sys

from beam_bpy import get_beam_server

logging.basicConfig(level=logging.DEBUG, format="%(name)s %(levelname)s: %(message)s")
server = get_beam_server()
importlib.import_module("harmful_handlers").register(server)
assert server.start(), server.last_error
print(server.node_name, flush=True)
if sys.argv[1] == "serve_forever":
    server.serve_forever()
