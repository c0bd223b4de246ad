# The sample workload: an order application of five task groups.
#
#   clients -> web -> cart -> pricing
#               |       `---> ledger   (soft: an order goes on without it; stateful: on the host volume `ledger`)
#               `---> search
#
# Services carry the names shop-<part>-origin. Clients and the parts themselves call shop-<part>: the front entries, which
# foreshadow keeps in Consul with weights. For it to run by itself, without foreshadow, name the services shop-<part>.
#
# Capacity of one instance = resources.cpu / (cpu-ms x 2000 MHz): --cpu-ms is CPU time on a core of 2000 MHz, and the program
# holds itself to its `cpu` as a cgroup quota would, whatever the driver enforces. It does not depend on the node's speed.
#
#   part     cpu   cpu-ms  one instance  primaries together   CPU of the whole part at 80 requests a second (2000 MHz)
#   web      100   1.6     31 rps         62 rps              13 % of a core
#   cart      75   1.2     31 rps         62 rps              10 %
#   search   150   1.2     62 rps        125 rps              10 %
#   pricing  100   0.8     62 rps        125 rps               6 %
#   ledger   100   0.4    125 rps        125 rps               3 %
#
# Near its capacity an instance has queues: measured at the entry, the primaries keep a p95 of 300 ms to about 50 requests a
# second and one of 500 ms to about 55. Most of a day (up to 54) fits that, the morning surge (75 to 80) does not: it needs
# standbys of web and cart, and so does the loss of one of their two instances (about 25 requests a second remain).
# Together the parts burn at most 42 % of a core of 2000 MHz at 80 requests a second.

job "shop" {
  datacenters = ["edge-a", "edge-b"]
  type        = "service"

  meta {
    release = "1"
  }

  spread {
    attribute = "${node.datacenter}"
    weight    = 100
  }

  update {
    max_parallel      = 1
    health_check      = "checks"
    min_healthy_time  = "2s"
    healthy_deadline  = "30s"
    progress_deadline = "1m"
    auto_revert       = true
  }

  # Takes the clients' orders.
  group "web" {
    count = 2

    restart {
      attempts = 2
      interval = "1m"
      delay    = "1s"
      mode     = "fail"
    }

    reschedule {
      delay          = "5s"
      delay_function = "constant"
      unlimited      = true
    }

    ephemeral_disk {
      size = 50
    }

    network {
      port "http" {}
    }

    service {
      name = "shop-web-origin"
      port = "http"
      tags = ["shop", "web"]

      check {
        name     = "health"
        type     = "http"
        path     = "/health"
        interval = "1s"
        timeout  = "1s"
      }
    }

    task "web" {
      driver       = "raw_exec"
      kill_signal  = "SIGTERM"
      kill_timeout = "2s"

      config {
        # On the PATH of the Nomad client.
        command = "foreshadow"
        args = [
          "shop-service",
          "--name", "web",
          "--cpu-ms", "1.6",
          "--upstream", "shop-cart",
          "--upstream", "shop-search",
        ]
      }

      env {
        NODE_MHZ   = "${attr.cpu.frequency}"
        CONSUL_DNS = "${meta.consul_dns}"
        HOST_IP    = "${attr.unique.network.ip-address}"
      }

      resources {
        cpu    = 100
        memory = 32
      }

      logs {
        max_files     = 2
        max_file_size = 5
      }
    }
  }

  # Adds an order up and has it written down.
  group "cart" {
    count = 2

    restart {
      attempts = 2
      interval = "1m"
      delay    = "1s"
      mode     = "fail"
    }

    reschedule {
      delay          = "5s"
      delay_function = "constant"
      unlimited      = true
    }

    ephemeral_disk {
      size = 50
    }

    network {
      port "http" {}
    }

    service {
      name = "shop-cart-origin"
      port = "http"
      tags = ["shop", "cart"]

      check {
        name     = "health"
        type     = "http"
        path     = "/health"
        interval = "1s"
        timeout  = "1s"
      }
    }

    task "cart" {
      driver       = "raw_exec"
      kill_signal  = "SIGTERM"
      kill_timeout = "2s"

      config {
        # On the PATH of the Nomad client.
        command = "foreshadow"
        args = [
          "shop-service",
          "--name", "cart",
          "--cpu-ms", "1.2",
          "--upstream", "shop-pricing",
          "--soft-upstream", "shop-ledger",
        ]
      }

      env {
        NODE_MHZ   = "${attr.cpu.frequency}"
        CONSUL_DNS = "${meta.consul_dns}"
        HOST_IP    = "${attr.unique.network.ip-address}"
      }

      resources {
        cpu    = 75
        memory = 32
      }

      logs {
        max_files     = 2
        max_file_size = 5
      }
    }
  }

  # Finds what else the client may want.
  group "search" {
    count = 2

    restart {
      attempts = 2
      interval = "1m"
      delay    = "1s"
      mode     = "fail"
    }

    reschedule {
      delay          = "5s"
      delay_function = "constant"
      unlimited      = true
    }

    ephemeral_disk {
      size = 50
    }

    network {
      port "http" {}
    }

    service {
      name = "shop-search-origin"
      port = "http"
      tags = ["shop", "search"]

      check {
        name     = "health"
        type     = "http"
        path     = "/health"
        interval = "1s"
        timeout  = "1s"
      }
    }

    task "search" {
      driver       = "raw_exec"
      kill_signal  = "SIGTERM"
      kill_timeout = "2s"

      config {
        # On the PATH of the Nomad client.
        command = "foreshadow"
        args = [
          "shop-service",
          "--name", "search",
          "--cpu-ms", "1.2",
        ]
      }

      env {
        NODE_MHZ   = "${attr.cpu.frequency}"
        CONSUL_DNS = "${meta.consul_dns}"
        HOST_IP    = "${attr.unique.network.ip-address}"
      }

      resources {
        cpu    = 150
        memory = 32
      }

      logs {
        max_files     = 2
        max_file_size = 5
      }
    }
  }

  # Says what an order costs.
  group "pricing" {
    count = 2

    restart {
      attempts = 2
      interval = "1m"
      delay    = "1s"
      mode     = "fail"
    }

    reschedule {
      delay          = "5s"
      delay_function = "constant"
      unlimited      = true
    }

    ephemeral_disk {
      size = 50
    }

    network {
      port "http" {}
    }

    service {
      name = "shop-pricing-origin"
      port = "http"
      tags = ["shop", "pricing"]

      check {
        name     = "health"
        type     = "http"
        path     = "/health"
        interval = "1s"
        timeout  = "1s"
      }
    }

    task "pricing" {
      driver       = "raw_exec"
      kill_signal  = "SIGTERM"
      kill_timeout = "2s"

      config {
        # On the PATH of the Nomad client.
        command = "foreshadow"
        args = [
          "shop-service",
          "--name", "pricing",
          "--cpu-ms", "0.8",
        ]
      }

      env {
        NODE_MHZ   = "${attr.cpu.frequency}"
        CONSUL_DNS = "${meta.consul_dns}"
        HOST_IP    = "${attr.unique.network.ip-address}"
      }

      resources {
        cpu    = 100
        memory = 32
      }

      logs {
        max_files     = 2
        max_file_size = 5
      }
    }
  }

  # Writes orders down, on the volume: it cannot move, and has no second instance.
  group "ledger" {
    count = 1

    restart {
      attempts = 2
      interval = "1m"
      delay    = "1s"
      mode     = "fail"
    }

    reschedule {
      delay          = "5s"
      delay_function = "constant"
      unlimited      = true
    }

    ephemeral_disk {
      size = 50
    }

    # Asked of the scheduler, not mounted: raw_exec cannot mount (nothing hides the host's files from it anyway), so the
    # node says in its meta `ledger_dir` where the volume lies. Without it, orders are kept with the allocation.
    volume "ledger" {
      type      = "host"
      source    = "ledger"
      read_only = false
    }

    network {
      port "http" {}
    }

    service {
      name = "shop-ledger-origin"
      port = "http"
      tags = ["shop", "ledger"]

      check {
        name     = "health"
        type     = "http"
        path     = "/health"
        interval = "1s"
        timeout  = "1s"
      }
    }

    task "ledger" {
      driver       = "raw_exec"
      kill_signal  = "SIGTERM"
      kill_timeout = "2s"

      config {
        # On the PATH of the Nomad client.
        command = "foreshadow"
        args = [
          "shop-service",
          "--name", "ledger",
          "--cpu-ms", "0.4",
          "--state-dir", "${meta.ledger_dir}",
        ]
      }

      env {
        NODE_MHZ   = "${attr.cpu.frequency}"
        CONSUL_DNS = "${meta.consul_dns}"
        HOST_IP    = "${attr.unique.network.ip-address}"
      }

      resources {
        cpu    = 100
        memory = 32
      }

      logs {
        max_files     = 2
        max_file_size = 5
      }
    }
  }
}
