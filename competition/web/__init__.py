"""The platform: a page where people add pictures and videos and get larger ones back."""
