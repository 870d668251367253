"""Handlers for files: .blend files, and the import, export and conversion of other formats."""
