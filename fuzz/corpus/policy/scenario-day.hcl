# A day of the shop, in 165 seconds: what breaks, and when. The morning surge is not here: it is in the load trace
# (07:00 to 10:00, 42 s to 60 s), for it is demand and no fault. The scheduler reads neither this file nor what comes of it.
#
# `explains` says for which losses a fault answers: of requests from, to or through these sites and nodes, for so long after it,
# which is what detection may take (a check each second with a second's time-out, gossip of two seconds, and DNS answers under way).

length = "165s"

at "80s" {
  kill_node = "edge-a-2"

  explains {
    nodes = ["edge-a-2"]
    for   = "5s"
  }
}

at "105s" {
  cut_site = "edge-b"

  explains {
    sites = ["edge-b"]
    for   = "6s"
  }
}

at "130s" {
  heal_site = "edge-b"

  # Connections that the cut has torn are reset now. Nomad ends what it replaced meanwhile, and the site's own DNS names it
  # until its agent, which retries with growing pauses, has read the catalog anew.
  explains {
    sites = ["edge-b"]
    for   = "15s"
  }
}
