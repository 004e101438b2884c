"""The serving path of every task: slots, batches, versions side by side, and what is known of them."""
