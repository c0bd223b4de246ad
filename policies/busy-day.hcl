# The comparison of policies/day.hcl with five times the demand: a portion needs up to ten instances, so that what one of them more
# costs weighs less, and what a scheduler may do in a row matters more.
workload "day" {
  job            = "day"
  risk_tolerance = 0.85

  # Each edge site serves its own clients while it is cut off.
  autonomous = true

  sites = ["edge-a", "edge-b", "provider-a", "provider-b"]

  slo {
    quantile = 0.95
    latency  = "400ms"
    success  = 0.99
  }

  budget {
    # Core-hours in a day.
    shadow_core_hours  = 1
    standby_core_hours = 200
    max_shadows        = 2
    max_standbys       = 60
  }

  ramp {
    steps       = [50, 100]
    soak        = "10s"
    settle      = "1m"
    keep_warm   = "1m"
    min_samples = 5
  }

  step    = "5m"
  season  = "24h"
  horizon = "15m"

  peak_rps = 300

  portion "web" {
    front      = "day-web"
    depends_on = ["cart", "search"]
  }

  portion "cart" {
    front = "day-cart"
  }

  portion "search" {
    front = "day-search"
  }
}
