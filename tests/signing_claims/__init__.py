"""Projects that sign for themselves: claims, transactions, promotion."""
