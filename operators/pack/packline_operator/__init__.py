"""The loop: a pure reconcile core and its adapters."""
