"""Execution leaves: the challenger wins if any result that the prover claims for one instruction is wrong.

`base` says what a leaf is, `catalogue` lists the leaves and finds the one that wins, `frame` puts signatures around a
leaf's body. Every other module is one family of leaves. The words that they judge are in `bitvm.leaves.statement`.
"""
