"""What somebody between the repository and the user can try; plain pip falls for it first."""
