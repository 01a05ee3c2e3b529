"""What ships to Lambda: one image in, its renditions and its record out."""
