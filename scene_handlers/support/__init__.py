"""Modules that all handlers use: checks of arguments, the rules of changes, files, up-to-date values."""
