"""What keeps a workspace in order: what is in it, which generator is in use, what may go; without importing torch."""
