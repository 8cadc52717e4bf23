"""Experts that checkpoints store in stacks: told apart when one is opened, read matrix by matrix, and put together again."""
