"""The classical detector: the recipe of the paper, by rules and a fitted score."""
