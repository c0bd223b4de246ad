# An estate with poor links: two plants with a rack each, a radio link between them and a mobile line to the provider that fails when
# it rains. Machines must go on whatever is cut. The job is jobs/factory.nomad.hcl.
workload "factory" {
  job = "factory"

  # Between the two: a line that stands still costs more than a core, but the racks are small and nothing more fits into them.
  risk_tolerance = 0.5

  sites = ["plant-a", "plant-b", "cloud"]

  # Each plant carries its own machines while it is alone, which it is some hours a month.
  autonomous = true

  # The radio link gives 20 Mbit/s on a clear day; the cameras have half of it.
  link {
    between = ["plant-a", "plant-b"]
    mbit    = 10
  }
  # A mobile line, paid by the gigabyte.
  link {
    between = ["plant-a", "cloud"]
    mbit    = 2
  }
  link {
    between = ["plant-b", "cloud"]
    mbit    = 2
  }

  # The safety controllers' registry: never ours to touch, whatever a policy or a person asks.
  deny = ["safety-gateway"]

  slo {
    # The machines' cycle is 500 ms; half of it is the network's.
    quantile = 0.99
    latency  = "250ms"
    # What fails is asked again in the next cycle; three in a row stop the line.
    success = 0.99
  }

  budget {
    # The racks have eight cores each. A shadow an hour of a tenth of a core for three minutes is nothing to them.
    shadow_core_hours = 0.2
    # One core in each plant.
    standby_core_hours = 48
    max_shadows        = 1
    max_standbys       = 4
  }

  ramp {
    # Two steps: every write may be the last one that gets through for a while.
    steps = [50, 100]
    # Machines ask every half second: two minutes are enough of it even from few of them.
    soak = "2m"
    # The line to the cloud comes and goes with a shower: what comes back is not trusted for half an hour.
    settle = "30m"
    # And what was prepared stays for the next one.
    keep_warm   = "2h"
    min_samples = 100
  }

  judge {
    # A second shadow for comparison would not fit: production just before is the baseline.
    twin = false
  }

  # Shift changes: everybody logs in at once, and nobody is there to look.
  quiet {
    from = "05:45"
    to   = "06:30"
  }
  quiet {
    from = "13:45"
    to   = "14:30"
  }
  quiet {
    from = "21:45"
    to   = "22:30"
  }

  # The auditors' week.
  freeze "audit" {
    from = "2027-02-01T00:00:00Z"
    to   = "2027-02-06T00:00:00Z"
  }

  # The yearly power test of plant B.
  maintenance "power test" {
    from  = "2027-01-09T07:00:00Z"
    to    = "2027-01-09T11:00:00Z"
    sites = ["plant-b"]
  }

  # Five minutes: sensors report by the minute, late where the radio is bad, and finer steps would be half gaps.
  step = "5m"
  # Three shifts a day, each like the one of the day before.
  season = "24h"
  # An image takes a quarter of an hour over the mobile line: four hours leave time for some tries.
  horizon = "4h"

  portion "control" {
    front      = "factory-control"
    depends_on = ["recipes"]
    # Not twenty times a second over radio: Consul's checks must do.
    probe = false
    # What the machines ask for, and nothing that starts one.
    path = "/state"
    # A shadow answers from what was recorded: production's recipes are behind the link it would fill.
    upstream "factory-recipes" {
      mode      = "stub"
      recording = "recordings/recipes.ndjson"
    }
    load {
      # Machines ask at their cycle, not at random.
      arrivals = "constant"
      # Coarse is enough: there is no capacity to be saved by more.
      resolution = 0.4
    }
    metrics {
      failed = "code=5*"
    }
  }

  # Read by control at the start of each batch. Copies may be anywhere.
  portion "recipes" {
    front = "factory-recipes"
    probe = false
  }

  # Writes what every machine did to the rack's own disk, by law for ten years: it stays where the machines are.
  portion "historian" {
    data_stays_at = ["plant-a", "plant-b"]
    shadow        = false
    standby       = false
  }
}
