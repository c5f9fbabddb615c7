"""Why a file may be believed, in words and for programs."""
