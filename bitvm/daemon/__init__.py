"""What both daemons, the prover's and a challenger's, are made of: they differ in their role, and in nothing else."""
