# The job of policies/day.hcl: one instance of each part, small ones. What more is needed, whoever steers adds.
job "day" {
  datacenters = ["edge-a", "edge-b"]
  type        = "service"

  meta {
    release = "1"
  }

  # A request of web takes 3.2 MHz·s: an instance has CPU for 31 a second.
  group "web" {
    count = 1

    network {
      port "http" {}
    }

    task "web" {
      driver = "raw_exec"

      config {
        command = "foreshadow"
        args    = ["shop-service", "--name", "web", "--cpu-ms", "1.6", "--upstream", "day-cart", "--upstream", "day-search"]
      }

      resources {
        cpu    = 100
        memory = 32
      }
    }
  }

  group "cart" {
    count = 1

    network {
      port "http" {}
    }

    task "cart" {
      driver = "raw_exec"

      config {
        command = "foreshadow"
        args    = ["shop-service", "--name", "cart", "--cpu-ms", "1.2"]
      }

      resources {
        cpu    = 75
        memory = 32
      }
    }
  }

  group "search" {
    count = 1

    network {
      port "http" {}
    }

    task "search" {
      driver = "raw_exec"

      config {
        command = "foreshadow"
        args    = ["shop-service", "--name", "search", "--cpu-ms", "1.2"]
      }

      resources {
        cpu    = 75
        memory = 32
      }
    }
  }
}
