"""Pictures of what a generator has learnt: `medsyn explore`."""
