"""Procedurally drawn city views."""

from competition.data.scenes.compose import draw_scene

__all__ = ["draw_scene"]
