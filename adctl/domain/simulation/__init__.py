"""Simulated worlds in which every policy is judged by the same executor against an oracle; pure, seeded numpy."""
