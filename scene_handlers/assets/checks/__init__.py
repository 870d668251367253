"""Checks of files from strangers before Blender reads them."""
