"""Pairs of pictures: finding them, checking them, cutting patches from them, and making some."""
