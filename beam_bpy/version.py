"""The version of this package, which is also the version of the Blender extension."""

__version__ = "0.1.0"
"""`make zip` compares it with the extension's manifest.

It does not come from the metadata of the installed package. After an update, these belong to the new version, while
Python has imported the old one.
"""
