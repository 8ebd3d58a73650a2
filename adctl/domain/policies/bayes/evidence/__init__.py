"""What stands behind each verdict: columns, the additive ledger, the value at which it would change."""
