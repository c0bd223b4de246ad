# The shop of policies/two-site-shop.hcl: till and web shop in the machine room `store`, stand-ins at the provider `cloud`.
job "two-site-shop" {
  # Where it runs when all is well. Standbys are jobs of foreshadow's own: they need not be foreseen here.
  datacenters = ["store"]
  type        = "service"

  # One instance at a time, and back to the old version if the new one does not become healthy.
  update {
    max_parallel     = 1
    health_check     = "checks"
    min_healthy_time = "10s"
    healthy_deadline = "2m"
    auto_revert      = true
  }

  group "web" {
    # Two, on two nodes: one may fail without anybody being asked.
    count = 2

    constraint {
      operator = "distinct_hosts"
      value    = "true"
    }

    network {
      port "http" {}
    }

    service {
      # Not `shop-web`: that name is the front's, which foreshadow keeps, with weights.
      name = "shop-web-origin"
      port = "http"

      check {
        type = "http"
        path = "/health"
        # Two seconds until a dead instance is noticed; foreshadow's own probes see it sooner.
        interval = "2s"
        timeout  = "1s"
      }
    }

    task "web" {
      driver = "docker"

      config {
        image = "shop/web:4.2"
        ports = ["http"]
      }

      resources {
        # MHz. Measured at 25 requests a second: a shadow says more.
        cpu    = 500
        memory = 256
      }
    }
  }

  group "cart" {
    count = 2

    network {
      port "http" {}
    }

    service {
      name = "shop-cart-origin"
      port = "http"

      check {
        type     = "http"
        path     = "/health"
        interval = "2s"
        timeout  = "1s"
      }
    }

    task "cart" {
      driver = "docker"

      config {
        image = "shop/cart:4.2"
        ports = ["http"]
      }

      env {
        # By the front's name, so that it is found wherever it runs.
        STOCK_URL = "http://shop-stock.service.consul"
      }

      resources {
        cpu    = 300
        memory = 128
      }
    }
  }

  group "stock" {
    # One writer.
    count = 1

    volume "db" {
      type   = "host"
      source = "stock"
    }

    network {
      port "http" {}
    }

    service {
      name = "shop-stock-origin"
      port = "http"

      check {
        type     = "http"
        path     = "/health"
        interval = "5s"
        timeout  = "2s"
      }
    }

    task "stock" {
      driver = "docker"

      config {
        image = "shop/stock:4.2"
        ports = ["http"]
      }

      volume_mount {
        volume      = "db"
        destination = "/data"
      }

      resources {
        cpu    = 500
        memory = 512
      }
    }
  }
}
