"""Named, versioned ways to decide what each ad deserves."""
