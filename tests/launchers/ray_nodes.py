"""Two nodes of a Ray cluster on one machine, with two NPUs each, until a line is read or the parent is gone."""

import sys

from ray.cluster_utils import Cluster

cluster = Cluster()
for chips in ("0,1", "2,3"):
    cluster.add_node(num_cpus=2, resources={"NPU": 2}, env_vars={"ASCEND_RT_VISIBLE_DEVICES": chips})
print(cluster.address, flush=True)
sys.stdin.readline()
cluster.shutdown()
