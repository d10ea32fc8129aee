"""The recipe of the small models that ship with the project: world, training, evaluation."""
