# foreshadow.hcl
# mode = "act"                      # without it nothing is ever written
policies = ["policies/shop.hcl"]    # from this file's folder
store    = "/var/lib/foreshadow/foreshadow.db"
cycle    = "10s"
api      = "127.0.0.1:4680"

gateway "edge-a" {
  site = "edge-a"                   # the Nomad datacenter in which it stands
  dns  = "127.0.0.1:8600"           # what clients there ask; consul = "http://…" where it is not CONSUL_HTTP_ADDR
}
