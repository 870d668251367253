"""`python -m beam_bpy.cli`."""

import sys

from beam_bpy.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
