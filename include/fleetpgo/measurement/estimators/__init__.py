"""The estimators, one file each; :mod:`.registry` lists them, and nobody else spells their letters."""
