"""Two models side by side, an original and what was made of it: run together, and what they give measured against each other."""
