"""What a sync waits for: calls in threads, and for very many projects in other processes too."""
