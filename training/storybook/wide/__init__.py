"""The wider world: several characters, poses, weather, framing. Drawn and told; not yet trained."""
