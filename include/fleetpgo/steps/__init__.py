"""The stages of a refresh, one file each. Every step reads what earlier ones left in the run's store."""
