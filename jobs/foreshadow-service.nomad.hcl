# One foreshadow for all gateways, wherever Nomad finds room on the provider's side. It writes each gateway's entries through that gateway's
# Consul agent, so their APIs must be reachable from here (TLS and tokens: docs/policy.md). A prepared switch then waits for the way
# between: jobs/foreshadow.nomad.hcl, one on each gateway, has none.
#   nomad job run jobs/foreshadow-service.nomad.hcl
job "foreshadow" {
  datacenters = ["provider-1", "provider-2"]
  type        = "service"
  # Above what it steers, so that it is there when room is short.
  priority = 80

  update {
    max_parallel     = 1
    min_healthy_time = "30s"
    healthy_deadline = "2m"
  }

  group "foreshadow" {
    # A second one waits for the lock.
    count = 2

    constraint {
      operator = "distinct_hosts"
      value    = "true"
    }

    restart {
      attempts = 10
      interval = "10m"
      delay    = "5s"
      mode     = "delay"
    }

    # History, profiles and the journal outlive an update on the same node.
    ephemeral_disk {
      sticky = true
      size   = 600
    }

    task "foreshadow" {
      # On the PATH of the Nomad client. Weights stay as they are while it is gone.
      driver       = "raw_exec"
      kill_signal  = "SIGTERM"
      kill_timeout = "20s"

      config {
        command = "foreshadow"
        args    = ["run", "--config", "local/foreshadow.hcl", "--format", "json"]
      }

      env {
        CONSUL_HTTP_TOKEN_FILE    = "/etc/foreshadow/consul-token"
        NOMAD_TOKEN_FILE          = "/etc/foreshadow/nomad-token"
        FORESHADOW_ACT_TOKEN_FILE = "/etc/foreshadow/act-token"
        CONSUL_HTTP_ADDR          = "127.0.0.1:8500"
        NOMAD_ADDR                = "http://127.0.0.1:4646"

        # One heap for all threads, given back as it empties: less memory (docs/scale.md).
        GLIBC_TUNABLES = "glibc.malloc.arena_max=1:glibc.malloc.trim_threshold=1048576:glibc.malloc.mmap_threshold=262144"
      }

      # Another configuration restarts it; policies do not.
      template {
        destination = "local/foreshadow.hcl"
        change_mode = "restart"
        data        = <<CONFIG
mode     = "observe"
policies = ["/etc/foreshadow/policies"]
store    = "{{ env "NOMAD_ALLOC_DIR" }}/data/foreshadow.db"
# Where the agent beside it asks for /ready; without this line, a socket of its own.
api      = "127.0.0.1:4680"
gateway "edge-a" {
  site   = "edge-a"
  consul = "https://gateway.edge-a.example:8501"
  dns    = "10.1.0.2:8600"
}
gateway "edge-b" {
  site   = "edge-b"
  consul = "https://gateway.edge-b.example:8501"
  dns    = "10.2.0.2:8600"
}
CONFIG
      }

      resources {
        cpu    = 200
        memory = 256
      }

      logs {
        max_files     = 3
        max_file_size = 10
      }
    }
  }
}
