"""The delay-corrected conjugate funnel: what each ad returns, how sure that is, and what to do about it."""
