"""Python imports this when it starts, before Blender and the scripts.

`uv run` installs the project into its environment, as links to the sources. Blender has to find the packages of the
extension that a test installs, so the sources are taken from the path.
"""

import sys
from pathlib import Path

sys.path[:] = [folder for folder in sys.path if not Path(folder, "blender_manifest.toml").is_file()]
