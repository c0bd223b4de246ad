# What the shop's people want of foreshadow. Times are those of the sandbox, where an hour of trace takes six seconds:
# a step is 1 s (ten minutes of trace), a season 144 s (a day).
workload "shop" {
  job            = "shop"
  risk_tolerance = 0.3

  # Each edge site serves its own clients while it is cut off.
  autonomous = true

  # Where shadows and standbys may run.
  sites = ["edge-a", "edge-b", "provider-a", "provider-b"]

  # Nomad keeps no book of links. What standbys at a provider may send back to clients at the edge, were they to serve:
  link {
    between = ["edge-a", "provider-a"]
    mbit    = 20
  }
  link {
    between = ["edge-a", "provider-b"]
    mbit    = 20
  }

  slo {
    quantile = 0.95
    latency  = "400ms"
    success  = 0.99
  }

  budget {
    # Core-hours in a season.
    shadow_core_hours  = 0.05
    standby_core_hours = 0.2
    max_shadows        = 2
    max_standbys       = 8
  }

  ramp {
    steps       = [25, 60, 100]
    soak        = "1s"
    settle      = "8s"
    keep_warm   = "8s"
    min_samples = 5
  }

  # A day has no time for long comparisons.
  judge {
    requests = 200
    longest  = "3s"
  }

  step    = "1s"
  season  = "144s"
  horizon = "30s"

  peak_rps = 80

  portion "web" {
    front      = "shop-web"
    depends_on = ["cart", "search"]
    load {
      each  = "1s"
      lasts = "5s"
    }
    metrics {
      # The clients' own view: what they see is what counts.
      clients  = ["http://127.0.10.200:9102/metrics", "http://127.0.20.200:9102/metrics"]
      requests = "client_requests_total"
      duration = "client_request_duration_seconds"
      failed   = "outcome=lost"
      only     = ["service=shop-web"]
    }
  }

  portion "cart" {
    front      = "shop-cart"
    depends_on = ["pricing", "ledger"]
    load {
      each  = "1s"
      lasts = "5s"
    }
    metrics {
      failed = "code=5*"
    }
  }

  portion "pricing" {
    front = "shop-pricing"
    load {
      each  = "1s"
      lasts = "5s"
    }
    metrics {
      failed = "code=5*"
    }
  }

  portion "search" {
    front = "shop-search"
    load {
      each  = "1s"
      lasts = "5s"
    }
    metrics {
      failed = "code=5*"
    }
  }

  # It writes to a host volume: it stays where its data is.
  portion "ledger" {
    front         = "shop-ledger"
    data_stays_at = ["edge-a"]
    standby       = false
  }
}
