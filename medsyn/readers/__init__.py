"""Reader studies: people tell real cases from synthetic ones, and how well they do is measured."""
