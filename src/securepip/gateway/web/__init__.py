"""The gateway over HTTP: as an index, and as the proxy of a command."""
