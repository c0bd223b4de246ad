# An estate like a content network's edge: four points of presence that answer their own visitors, and two provider regions behind
# them. Much traffic, little state, links that are good but not free. The job is jobs/cdn-edge.nomad.hcl.
workload "cdn-edge" {
  job = "cdn-edge"

  # High: an unanswered visitor is a lost one, and what stands ready here is small against what serves.
  risk_tolerance = 0.7

  sites = ["pop-ams", "pop-fra", "pop-mad", "pop-waw", "region-north", "region-south"]

  # A point of presence whose uplink is cut goes on serving its visitors out of its cache.
  autonomous = true

  # Bought transit, in Mbit/s; what exceeds it is billed by the 95th percentile. Madrid and Warsaw have thin lines.
  link {
    between = ["pop-ams", "region-north"]
    mbit    = 2000
  }
  link {
    between = ["pop-fra", "region-north"]
    mbit    = 2000
  }
  link {
    between = ["pop-waw", "region-north"]
    mbit    = 400
  }
  link {
    between = ["pop-mad", "region-south"]
    mbit    = 400
  }

  slo {
    # With hundreds of requests a second the 99th percentile rests on enough of them, and a page makes forty.
    quantile = 0.99
    latency  = "120ms"
    success  = 0.9995
  }

  budget {
    # Thousandths of what serves (about 600 core-hours a day).
    shadow_core_hours = 6
    # A tenth of it.
    standby_core_hours = 60
    # One for each point of presence: they do not share nodes.
    max_shadows = 4
    # Three portions at six sites, and some to grow.
    max_standbys = 24
  }

  ramp {
    # One percent of this traffic is enough to see an error of one in a hundred within the soak.
    steps = [1, 5, 20, 50, 100]
    soak  = "20s"
    # Caches need some minutes until their hit rate is that of before.
    settle      = "10m"
    keep_warm   = "15m"
    min_samples = 200
  }

  judge {
    # Enough to see 2 ms at this quantile.
    requests = 4000
    longest  = "20s"
    margin   = "2ms"
  }

  # The cup final: the broadcaster says three times the usual, in the evening.
  event "cup final" {
    from   = "2026-12-12T18:00:00Z"
    to     = "2026-12-12T22:30:00Z"
    factor = 3
  }

  # The carrier replaces Warsaw's router. From one horizon before, others stand ready.
  maintenance "waw router" {
    from  = "2026-12-03T01:00:00Z"
    to    = "2026-12-03T03:00:00Z"
    sites = ["pop-waw"]
  }

  # Half a minute: a broadcast fills in two.
  step   = "30s"
  season = "24h"
  # Twice what it takes to pull the image into an empty site and fill its cache.
  horizon = "30m"

  portion "cache" {
    # Visitors come by anycast to their point of presence and are spread from there.
    front      = "cdn-cache"
    depends_on = ["shield"]
    # The recorded mix of a busy hour, at its own times: caches live by repetition, which a synthetic mix has not.
    load {
      from       = "recordings/cache-hour.log"
      arrivals   = "own"
      confidence = 0.95
    }
    metrics {
      # What visitors see counts: the balancers before the caches tell it.
      clients  = ["http://balancer.pop-ams.example:9100/metrics", "http://balancer.pop-fra.example:9100/metrics"]
      requests = "edge_requests_total"
      duration = "edge_request_duration_seconds"
      failed   = "code=5*"
    }
  }

  # Collects what all caches miss, so that the origin is asked once.
  portion "shield" {
    front = "cdn-shield"
    # Misses may take longer; nobody waits for one in the common case.
    slo {
      quantile = 0.95
      latency  = "300ms"
    }
    # Its shadow must not fill the origin's log with requests that nobody made.
    upstream "cdn-origin" {
      mode    = "stub"
      latency = "40ms"
    }
  }

  # Signs tokens. Its keys may be in the regions alone, by contract.
  portion "tokens" {
    front         = "cdn-tokens"
    data_stays_at = ["region-north", "region-south"]
    shadow        = false
  }
}
