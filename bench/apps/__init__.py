"""The contenders' apps, each as its own documentation writes it; `BENCH_ROOT` names the root."""
