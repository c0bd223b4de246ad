job "x" {
  group "g" {
    count = 99999999999999999999
    task "t" {
      driver = "exec"
      kill_timeout = "99999999999999h"
      resources {
        cpu = 1e300
        memory = -5
      }
    }
  }
}
