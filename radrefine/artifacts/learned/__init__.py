"""The learned detector: a small network, and rules that complete what it is unsure of."""
