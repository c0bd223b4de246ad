# An estate of two sites: a shop whose till and web shop run in its own machine room (`store`), with a provider (`cloud`) to fall
# back on. One fibre between them, one operator who sleeps at night. The job is jobs/two-site-shop.nomad.hcl.
workload "two-site-shop" {
  job = "two-site-shop"

  # A third: one node's failure is prepared for at all times, the whole machine room's where a day of history calls it likely.
  # Higher values pay for standbys that a shop of this size sees used once a year.
  risk_tolerance = 0.35

  # Both may hold shadows and standbys. Nomad calls them datacenters.
  sites = ["store", "cloud"]

  # The fibre is 100 Mbit/s; the cameras and the back-up need half of it.
  link {
    between = ["store", "cloud"]
    mbit    = 50
  }

  slo {
    # What a customer at the till waits before looking up. The 95th percentile: beyond it are those who scan a whole trolley at once.
    quantile = 0.95
    latency  = "400ms"
    # One in two hundred may have to be tried again, as the till does by itself.
    success = 0.995
  }

  budget {
    # A shadow of `web` holds a quarter of a core for about five minutes: some 20 runs a day.
    shadow_core_hours = 0.5
    # Two standbys of half a core around the clock.
    standby_core_hours = 24
    # One at a time: the machine room has three nodes, and one of them has to stay quiet.
    max_shadows = 1
    # `web` and `cart` at both sites.
    max_standbys = 4
  }

  ramp {
    # Few customers: five percent of them would be too few to judge by.
    steps = [20, 60, 100]
    # At ten requests a second this is 300 requests a step.
    soak = "30s"
    # After the power has come back, the machine room's switches take some minutes until they are done flapping.
    settle = "10m"
    # What was started for a failure is worth keeping until the second shoe has dropped.
    keep_warm   = "30m"
    min_samples = 50
  }

  # The night's stock-taking wants the disks for itself.
  quiet {
    from = "02:00"
    to   = "04:30"
  }

  # The busiest days of the year: nobody tries anything, failures are still answered.
  freeze "christmas" {
    from = "2026-12-21T06:00:00Z"
    to   = "2026-12-27T06:00:00Z"
  }

  # History holds no sale like it; last year's had two and a half times the usual customers.
  event "black friday" {
    from     = "2026-11-27T08:00:00Z"
    to       = "2026-11-28T00:00:00Z"
    factor   = 2.5
    portions = ["web"]
  }

  # A minute is as fine as the tills' clocks agree; the day is the season that shops have.
  step   = "1m"
  season = "24h"
  # A standby at the provider is up in two minutes; an hour is time enough to be asked first.
  horizon = "1h"

  portion "web" {
    # Tills and browsers resolve `shop-web.service.consul`.
    front      = "shop-web"
    depends_on = ["cart"]
    # Reads only: a shadow that orders would move stock.
    load {
      request "/catalogue?page=1" {
        weight = 8
      }
      request "/search?q=milk" {
        weight = 2
      }
    }
    metrics {
      # Health checks are no customers.
      only = ["route=shop"]
      # Every status of the fives.
      failed = "code=5*"
    }
  }

  portion "cart" {
    front      = "shop-cart"
    depends_on = ["stock"]
    # It waits for `web` in any case: what it adds must be small.
    slo {
      latency = "150ms"
    }
    # A shadow of it asks production for prices, and can write nothing.
    upstreams = "production-readonly"
  }

  # Its database is a disk in the machine room: it stays, and everybody else has to come to it.
  portion "stock" {
    front         = "shop-stock"
    data_stays_at = ["store"]
    standby       = false
  }
}
