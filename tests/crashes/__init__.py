"""A kernel is killed at any moment of a job; the next one finds all that was paid."""
