"""Data, training loop, checkpoints. Needs the [train] extra (torch)."""
