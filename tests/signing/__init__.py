"""Tests of the signing side: keys, publishing, crash safety, serving."""
