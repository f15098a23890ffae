"""The audio of one call, between what the provider speaks and what the agent works with."""
