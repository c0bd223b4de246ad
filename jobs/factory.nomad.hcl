# The plants of policies/factory.hcl: what machines talk to, in a rack at each plant.
job "factory" {
  datacenters = ["plant-a", "plant-b"]
  type        = "service"
  # Above everything else in the racks.
  priority = 80

  group "control" {
    # One at each plant.
    count = 2

    spread {
      attribute = "${node.datacenter}"
      weight    = 100
    }

    # A rack that cannot reach the servers keeps its copy running for most of a shift; only then does it end it by itself.
    stop_after_client_disconnect = "6h"

    restart {
      # Try for as long as it takes: there is nobody who could be paged at night.
      attempts = 10
      interval = "10m"
      delay    = "10s"
      mode     = "delay"
    }

    network {
      port "http" {}
    }

    service {
      name = "factory-control-origin"
      port = "http"

      check {
        type     = "http"
        path     = "/health"
        interval = "2s"
        timeout  = "2s"
      }
    }

    task "control" {
      # No registry can be relied on over the mobile line: the binary is on the rack's disk.
      driver = "raw_exec"

      config {
        command = "/opt/factory/control"
        args    = ["--recipes", "http://factory-recipes.service.consul"]
      }

      resources {
        cpu    = 800
        memory = 256
      }
    }
  }

  group "recipes" {
    count = 2

    spread {
      attribute = "${node.datacenter}"
      weight    = 100
    }

    network {
      port "http" {}
    }

    service {
      name = "factory-recipes-origin"
      port = "http"

      check {
        type     = "http"
        path     = "/health"
        interval = "5s"
        timeout  = "2s"
      }
    }

    task "recipes" {
      driver = "raw_exec"

      config {
        command = "/opt/factory/recipes"
      }

      resources {
        cpu    = 200
        memory = 128
      }
    }
  }

  group "historian" {
    count = 2

    constraint {
      operator = "distinct_property"
      # One at each plant: both write, each its own machines.
      attribute = "${node.datacenter}"
      value     = "1"
    }

    volume "records" {
      type   = "host"
      source = "historian"
    }

    network {
      port "http" {}
    }

    service {
      name = "factory-historian"
      port = "http"

      check {
        type     = "http"
        path     = "/health"
        interval = "10s"
        timeout  = "2s"
      }
    }

    task "historian" {
      driver = "raw_exec"

      config {
        command = "/opt/factory/historian"
      }

      volume_mount {
        volume      = "records"
        destination = "/records"
      }

      resources {
        cpu    = 500
        memory = 512
      }
    }
  }
}
