"""From a request to what the rooms are given: requirements, indexes, options, fetched files."""
