"""Fine-tune pre-trained 3D point-cloud transformers in JAX/Flax, with nothing to compile."""
