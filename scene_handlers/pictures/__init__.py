"""Handlers for images: renders, passes, thumbnails, baked images and screenshots."""
