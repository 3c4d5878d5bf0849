"""The search for merge weights: base plus weighted differences in the forward pass, and the loss as their function."""
