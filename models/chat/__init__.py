"""Chat models: endpoints, what servers refuse, and how answers are parsed."""
