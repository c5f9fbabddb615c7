"""What belongs to the machine securepip runs on: its folders, its disks, its permissions."""
