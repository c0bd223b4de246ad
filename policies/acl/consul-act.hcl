# Consul: what acting needs beside consul-watch.hcl. One service rule for each `front` of your policies: these are the shop's.
# `consul acl policy create -name foreshadow-act -rules @policies/acl/consul-act.hcl`

service "shop-web" {
  policy = "write"
}

service "shop-cart" {
  policy = "write"
}

service "shop-pricing" {
  policy = "write"
}

service "shop-search" {
  policy = "write"
}

service "shop-ledger" {
  policy = "write"
}

# Foreshadow's own entry, by which it is found. The leader's session hangs on its check: without this rule a killed leader's lock is
# another's after some 21 s, with it after 11 s at most.
service "foreshadow" {
  policy = "write"
}

# Targets, the leader's lock, open steps, and what gateways applied.
key_prefix "foreshadow/" {
  policy = "write"
}

# What the leader does and has learnt, for those who follow it and for whoever leads next.
key_prefix "foreshadow-notes/" {
  policy = "write"
}

# The operator's stop is the operators': foreshadow's own token cannot clear it.
# (`foreshadow hold` is run with a token that may.)
key "foreshadow/hold" {
  policy = "read"
}

# The session of the lock. Narrow it to the gateways' own nodes where you like.
session_prefix "" {
  policy = "write"
}
