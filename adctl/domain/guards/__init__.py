"""What may be sent, judged before anything is queued: pass, wait or refuse, each with its numbers."""
