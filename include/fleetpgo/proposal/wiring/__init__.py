"""Passing the profile to the build: what the pull request edits besides the profile itself."""
