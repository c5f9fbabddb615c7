"""The gateway's HTTP server: as an index, and as the proxy of a command."""
