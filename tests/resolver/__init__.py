"""The resolver: what pip would choose, from what the verified index offers."""
