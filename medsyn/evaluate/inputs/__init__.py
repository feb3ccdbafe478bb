"""What an evaluation works on: the dataset, the synthetic set, and what the user brought."""
