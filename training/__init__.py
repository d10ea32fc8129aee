"""Training of LoRA and DreamBooth models, in a process of its own."""
