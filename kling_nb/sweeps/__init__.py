"""Many requests at once: sweeps over axes, and storyboards of several shots."""
