"""Media of strangers: what a file is, what it may hold, how it is opened, and the limited process that does it."""
