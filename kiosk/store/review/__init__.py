"""What is kept for a reviewer until they have decided: images.py. In the row of the store."""
