"""Find the marks burned into ultrasound images: by rules (`classical`), by a small network (`learned`), or both."""
