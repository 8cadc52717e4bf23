"""What others do with the same weights. Each file is a script for an interpreter of its own, and imports nothing of ours."""
