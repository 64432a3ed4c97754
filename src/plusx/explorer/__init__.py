"""The page: a network as switches, drawing and numbers, from a local server or as a static site."""
