# /etc/foreshadow/foreshadow.hcl for the unit beside: it observes, until `mode` says otherwise. `foreshadow validate` finds what is wrong
# in it, `foreshadow doctor --config /etc/foreshadow/foreshadow.hcl` what it cannot reach.
# mode = "act"                                    # without it nothing is ever written
policies = ["/etc/foreshadow/policies"]           # files or folders; read again when they change
store    = "/var/lib/foreshadow/foreshadow.db"
cycle    = "10s"
# api    = "127.0.0.1:4680"                       # besides or instead of its socket, /run/foreshadow/api.sock

gateway "edge-a" {
  site = "edge-a"                                 # the Nomad datacenter in which it stands
  dns  = "127.0.0.1:8600"                         # what clients there ask; consul = "http://…" where it is not CONSUL_HTTP_ADDR
}
