"""Films through the network: enlarge, cut, extract, merge, play; and films as training pairs."""
