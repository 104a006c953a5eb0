"""Train the mark detector on composites of known marks; needs the extra `train`."""
