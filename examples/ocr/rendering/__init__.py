"""Draws the demo documents: what they say, how they are laid out, how they were printed, what paper and camera did."""
