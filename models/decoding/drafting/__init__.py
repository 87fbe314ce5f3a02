"""Guesses at the next tokens. A drafter changes the number of steps and nothing else: what is written is greedy's."""
