# Consul: enough to observe. `consul acl policy create -name foreshadow-watch -rules @policies/acl/consul-watch.hcl`

# Version and datacenter of the agents.
agent_prefix "" {
  policy = "read"
}

# Whether agents are alive, and how far they are from each other.
node_prefix "" {
  policy = "read"
}

# The instances behind fronts, the services that Nomad registers for them, and their checks. Narrow it to your names where you like.
service_prefix "" {
  policy = "read"
}

# Targets, what gateways applied, the leader, and the operator's hold.
key_prefix "foreshadow/" {
  policy = "read"
}
