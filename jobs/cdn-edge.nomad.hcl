# The edge of policies/cdn-edge.hcl: caches at four points of presence, shields and token signers in two regions.
job "cdn-edge" {
  datacenters = ["pop-ams", "pop-fra", "pop-mad", "pop-waw", "region-north", "region-south"]
  type        = "service"
  # Above batch work, below what keeps the site itself alive.
  priority = 60

  group "cache" {
    # Two at each point of presence.
    count = 8

    # Visitors are at the points of presence, not in the regions.
    constraint {
      attribute = "${node.datacenter}"
      operator  = "regexp"
      value     = "^pop-"
    }

    # As many here as there.
    spread {
      attribute = "${node.datacenter}"
      weight    = 100
    }

    # What is cached may be lost: it is fetched again. A sticky disk would keep it, and no shadow could have it.
    ephemeral_disk {
      size = 2000
    }

    network {
      port "http" {}
    }

    service {
      name = "cdn-cache-origin"
      port = "http"

      check {
        type = "http"
        path = "/health"
        # Every second: a dead cache is a hundred lost requests.
        interval = "1s"
        timeout  = "500ms"
      }
    }

    task "cache" {
      driver = "docker"

      config {
        image = "edge/cache:12"
        ports = ["http"]
      }

      env {
        SHIELD = "http://cdn-shield.service.consul"
      }

      resources {
        cpu    = 4000
        memory = 4096
      }
    }
  }

  group "shield" {
    count = 4

    constraint {
      attribute = "${node.datacenter}"
      operator  = "regexp"
      value     = "^region-"
    }

    network {
      port "http" {}
    }

    service {
      name = "cdn-shield-origin"
      port = "http"

      check {
        type     = "http"
        path     = "/health"
        interval = "2s"
        timeout  = "1s"
      }
    }

    task "shield" {
      driver = "docker"

      config {
        image = "edge/shield:12"
        ports = ["http"]
      }

      env {
        ORIGIN = "http://cdn-origin.service.consul"
      }

      resources {
        cpu    = 2000
        memory = 2048
      }
    }
  }

  group "tokens" {
    # One in each region.
    count = 2

    constraint {
      attribute = "${node.datacenter}"
      operator  = "regexp"
      value     = "^region-"
    }

    constraint {
      operator = "distinct_property"
      # Never both in one region.
      attribute = "${node.datacenter}"
      value     = "1"
    }

    network {
      port "http" {}
    }

    service {
      name = "cdn-tokens-origin"
      port = "http"

      check {
        type     = "http"
        path     = "/health"
        interval = "2s"
        timeout  = "1s"
      }
    }

    task "tokens" {
      driver = "docker"

      config {
        image = "edge/tokens:3"
        ports = ["http"]
      }

      resources {
        cpu    = 500
        memory = 256
      }
    }
  }
}
