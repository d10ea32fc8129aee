"""Picture files: foreign ones read safely, recipes written into ours and read out again."""
