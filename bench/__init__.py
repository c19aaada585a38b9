"""The comparison: file servers side by side, by the CPU time a request costs them."""
