"""Handlers for images: renders, passes, thumbnails, baked images, screenshots, and pictures for subscribers."""
