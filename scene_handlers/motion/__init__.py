"""Handlers for animation: keyframes, curves, armatures and shape keys."""
