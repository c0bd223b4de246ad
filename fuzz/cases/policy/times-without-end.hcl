workload "x" {
  risk_tolerance = 1
  sites = ["a"]
  step = "1ms"
  season = "99999999999999999999d"
  horizon = "9999999999999999h"
  slo {
    latency = "999999999999999d"
  }
  budget {}
  portion "p" {}
}
