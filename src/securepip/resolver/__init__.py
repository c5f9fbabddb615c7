"""Requirements → plan: `packaging` and `resolvelib` over the verified index."""
