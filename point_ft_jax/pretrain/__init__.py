"""Pre-training without labels: masked autoencoders around the backbones, and their losses."""
