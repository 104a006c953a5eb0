"""Facts about data sets, shipped as YAML beside this file."""
