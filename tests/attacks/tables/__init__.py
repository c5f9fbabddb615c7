"""A test for every cell of PEP 458's Table 4 and PEP 480's Table 1."""
