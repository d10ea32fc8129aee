"""One module a family: how its pipelines encode, prepare, predict and decode."""
