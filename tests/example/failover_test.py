"""What a drill runs: does the application go on without the nodes that are offline, and do all nodes agree when none is?

fail-start drill -- /usr/bin/python3 tests/example/failover_test.py
"""

import os
import sys

import orders

offline = {int(node) for node in os.environ.get("FAIL_START_NODES", "").split(",") if node}
online = orders.NODES - offline

try:
    order = orders.place("tea")
except orders.Unavailable:
    sys.exit("no order is taken" if online else 0)
stored = {node: orders.stored(node) for node in online}
if any(order not in has for has in stored.values()):
    sys.exit("a node that is online has not got the order")
if not offline:
    every = set.union(*stored.values())
    lacking = [f"node {node} lacks {len(every - has)}" for node, has in stored.items() if has != every]
    if lacking:
        sys.exit("orders are lost: " + ", ".join(lacking))
