# Nomad: enough to observe. `nomad acl policy apply foreshadow-watch policies/acl/nomad-watch.hcl`
# Put the workload's own namespace where it is not "default".

namespace "default" {
  # Jobs, allocations, their use of resources, evaluations and the event stream.
  capabilities = ["list-jobs", "read-job"]
}

# Nodes with what they have, and their own metrics.
node {
  policy = "read"
}

# Version and features of the agent.
agent {
  policy = "read"
}
