"""Pictures: each computes once, and draws as often as asked."""
