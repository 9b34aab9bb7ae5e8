"""The operators' commands that prover and watchtower share; each module is one command, or a few that belong together.

A command reads the home of its configuration and asks the node, beside the daemon that may run there: it takes no lock,
signs nothing, and writes nothing, except where its own help says so.
"""
