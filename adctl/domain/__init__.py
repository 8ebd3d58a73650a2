"""The pure part: values and mathematics, no clock, no I/O, no logging, no environment."""
