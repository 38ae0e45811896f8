"""Slots of concurrency limits: held, waited for, and given back."""
