# Fifty portions on forty nodes: what a simulated day of many costs (`foreshadow simulate --policy policies/fleet.hcl`).
workload "fleet" {
  job            = "fleet"
  risk_tolerance = 0.5

  sites = ["edge-a", "edge-b", "provider-a", "provider-b"]

  slo {
    quantile = 0.95
    latency  = "500ms"
    success  = 0.99
  }

  budget {
    # Core-hours in a day.
    shadow_core_hours  = 4
    standby_core_hours = 100
    max_shadows        = 4
    max_standbys       = 100
  }

  ramp {
    steps       = [10, 50, 100]
    soak        = "10s"
    settle      = "1m"
    keep_warm   = "1m"
    min_samples = 5
  }

  step    = "5m"
  season  = "24h"
  horizon = "15m"

  peak_rps = 30

  portion "web-1" {
    front      = "fleet-web-1"
    depends_on = ["cart-1", "search-1"]
  }

  portion "cart-1" {
    front      = "fleet-cart-1"
    depends_on = ["stock-1"]
  }

  portion "search-1" {
    front      = "fleet-search-1"
    depends_on = ["index-1"]
  }

  portion "stock-1" {
    front = "fleet-stock-1"
  }

  portion "index-1" {
    front = "fleet-index-1"
  }

  portion "web-2" {
    front      = "fleet-web-2"
    depends_on = ["cart-2", "search-2"]
  }

  portion "cart-2" {
    front      = "fleet-cart-2"
    depends_on = ["stock-2"]
  }

  portion "search-2" {
    front      = "fleet-search-2"
    depends_on = ["index-2"]
  }

  portion "stock-2" {
    front = "fleet-stock-2"
  }

  portion "index-2" {
    front = "fleet-index-2"
  }

  portion "web-3" {
    front      = "fleet-web-3"
    depends_on = ["cart-3", "search-3"]
  }

  portion "cart-3" {
    front      = "fleet-cart-3"
    depends_on = ["stock-3"]
  }

  portion "search-3" {
    front      = "fleet-search-3"
    depends_on = ["index-3"]
  }

  portion "stock-3" {
    front = "fleet-stock-3"
  }

  portion "index-3" {
    front = "fleet-index-3"
  }

  portion "web-4" {
    front      = "fleet-web-4"
    depends_on = ["cart-4", "search-4"]
  }

  portion "cart-4" {
    front      = "fleet-cart-4"
    depends_on = ["stock-4"]
  }

  portion "search-4" {
    front      = "fleet-search-4"
    depends_on = ["index-4"]
  }

  portion "stock-4" {
    front = "fleet-stock-4"
  }

  portion "index-4" {
    front = "fleet-index-4"
  }

  portion "web-5" {
    front      = "fleet-web-5"
    depends_on = ["cart-5", "search-5"]
  }

  portion "cart-5" {
    front      = "fleet-cart-5"
    depends_on = ["stock-5"]
  }

  portion "search-5" {
    front      = "fleet-search-5"
    depends_on = ["index-5"]
  }

  portion "stock-5" {
    front = "fleet-stock-5"
  }

  portion "index-5" {
    front = "fleet-index-5"
  }

  portion "web-6" {
    front      = "fleet-web-6"
    depends_on = ["cart-6", "search-6"]
  }

  portion "cart-6" {
    front      = "fleet-cart-6"
    depends_on = ["stock-6"]
  }

  portion "search-6" {
    front      = "fleet-search-6"
    depends_on = ["index-6"]
  }

  portion "stock-6" {
    front = "fleet-stock-6"
  }

  portion "index-6" {
    front = "fleet-index-6"
  }

  portion "web-7" {
    front      = "fleet-web-7"
    depends_on = ["cart-7", "search-7"]
  }

  portion "cart-7" {
    front      = "fleet-cart-7"
    depends_on = ["stock-7"]
  }

  portion "search-7" {
    front      = "fleet-search-7"
    depends_on = ["index-7"]
  }

  portion "stock-7" {
    front = "fleet-stock-7"
  }

  portion "index-7" {
    front = "fleet-index-7"
  }

  portion "web-8" {
    front      = "fleet-web-8"
    depends_on = ["cart-8", "search-8"]
  }

  portion "cart-8" {
    front      = "fleet-cart-8"
    depends_on = ["stock-8"]
  }

  portion "search-8" {
    front      = "fleet-search-8"
    depends_on = ["index-8"]
  }

  portion "stock-8" {
    front = "fleet-stock-8"
  }

  portion "index-8" {
    front = "fleet-index-8"
  }

  portion "web-9" {
    front      = "fleet-web-9"
    depends_on = ["cart-9", "search-9"]
  }

  portion "cart-9" {
    front      = "fleet-cart-9"
    depends_on = ["stock-9"]
  }

  portion "search-9" {
    front      = "fleet-search-9"
    depends_on = ["index-9"]
  }

  portion "stock-9" {
    front = "fleet-stock-9"
  }

  portion "index-9" {
    front = "fleet-index-9"
  }

  portion "web-10" {
    front      = "fleet-web-10"
    depends_on = ["cart-10", "search-10"]
  }

  portion "cart-10" {
    front      = "fleet-cart-10"
    depends_on = ["stock-10"]
  }

  portion "search-10" {
    front      = "fleet-search-10"
    depends_on = ["index-10"]
  }

  portion "stock-10" {
    front = "fleet-stock-10"
  }

  portion "index-10" {
    front = "fleet-index-10"
  }
}
