"""What stands behind each verdict: columns, and the additive ledger."""
