"""Tests of the hand-off to pip."""
