"""From a profile to a pull request: git, wiring, verifying, the text, and the forges."""
