"""What a thief would look for, and does not find."""
