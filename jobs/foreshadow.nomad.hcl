# foreshadow on every node of class "gateway": one process a gateway. Each keeps its own gateway's weights and prepared switches; one of
# them, by Consul's lock, plans for all. jobs/foreshadow-service.nomad.hcl has one process for all gateways instead.
#   nomad job run jobs/foreshadow.nomad.hcl
# The node carries /etc/foreshadow: policies/ (read again when they change), consul-token, nomad-token and act-token (mode 0400; the
# rights are in policies/acl).
job "foreshadow" {
  datacenters = ["edge-a", "edge-b"]
  type        = "system"
  # Above what it steers, so that it is there when room is short.
  priority = 80

  constraint {
    attribute = "${node.class}"
    value     = "gateway"
  }

  update {
    max_parallel     = 1
    min_healthy_time = "30s"
    healthy_deadline = "2m"
  }

  group "foreshadow" {
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
gateway "{{ env "node.unique.name" }}" {
  site = "{{ env "node.datacenter" }}"
  dns  = "127.0.0.1:8600"
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
