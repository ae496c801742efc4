"""Nodes of a Ray cluster on one machine, until a line is read or the parent is gone.

python ray_nodes.py 0,1 2,3        # two, with these NPUs
"""

import sys

from ray.cluster_utils import Cluster

cluster = Cluster()
for listed in sys.argv[1:]:
    chips = len(listed.split(","))
    cluster.add_node(num_cpus=chips, resources={"NPU": chips}, env_vars={"ASCEND_RT_VISIBLE_DEVICES": listed})
print(cluster.address, flush=True)
sys.stdin.readline()
cluster.shutdown()
