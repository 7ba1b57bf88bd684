"""Propose a profile: git, wiring, verification, the pull request's text, and the forges."""
