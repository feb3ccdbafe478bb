"""What is in a dataset, before anything learns from it: counts, confounders, grey values, leaks, inputs."""
