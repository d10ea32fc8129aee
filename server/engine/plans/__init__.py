"""How a plan is carried out on a network: quantised, streamed, decoded in tiles, blocks reused."""
