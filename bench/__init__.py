"""The comparison: file servers side by side, at equal work, by the CPU time a request costs them."""
