"""More than one core: worker processes that share the listening ports, and the parent that looks after them.

The parent binds the ports, probes, answers the admin port and keeps the workers alive; it serves nothing itself.  Each
worker is a whole gateway without probes and admin port; it is told the verdicts of the probes and what the others have
leased.  They speak JSON through a pair of pipes (`gateway.workers.link`).
"""
