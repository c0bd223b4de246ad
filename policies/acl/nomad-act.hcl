# Nomad: what acting needs beside nomad-watch.hcl. `nomad acl policy apply foreshadow-act policies/acl/nomad-act.hcl`
# Whoever may submit jobs runs code on the nodes of this namespace: keep the token as you keep that right.

namespace "default" {
  # Plan, register and stop the jobs of shadows and standbys.
  capabilities = ["list-jobs", "read-job", "submit-job"]
}

# Only where the workload's groups use host volumes: standbys ask for the same ones.
# host_volume "shared" {
#   policy = "write"
# }
