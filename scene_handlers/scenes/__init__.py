"""Handlers for objects, cameras, lights, materials, properties and descriptions."""
