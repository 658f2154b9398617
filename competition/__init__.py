"""Image super-resolution for contests: from pairs of pictures to a submission."""

__version__ = "0.1.0"
