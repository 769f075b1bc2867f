"""Tests of the bench: a judge that is wrong is worse than none."""
