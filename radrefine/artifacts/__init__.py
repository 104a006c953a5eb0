"""Find the marks burned into ultrasound images."""
