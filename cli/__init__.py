"""The two commands, `radrefine` and `pgnm`: thin, and quick to start."""
