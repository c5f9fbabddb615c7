"""Tests of repositories in object stores."""
