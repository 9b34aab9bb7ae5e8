"""Disputes on a private chain: simulation, costs, reports."""
