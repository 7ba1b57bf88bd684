"""The state of one refresh: where its artifacts are kept, and what each of them is called and holds."""
