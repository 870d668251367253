"""Handlers for meshes: their data, and edits of them."""
