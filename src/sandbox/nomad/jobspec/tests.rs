use super::*;
use crate::sandbox::nomad::json::*;

const SHOP: &str = r#"
variable "image" {
  default = "shop"
}
locals {
  tier = "edge"
}
job "shop" {
  datacenters = ["edge-a", "edge-b"]
  priority    = 60
  meta {
    tier  = local.tier
    limit = 5
  }
  constraint {
    attribute = "${attr.kernel.name}"
    value     = "linux"
  }
  constraint {
    distinct_hosts = true
  }
  update {
    max_parallel     = 2
    min_healthy_time = "1m30s"
  }
  group "web" {
    count = 2
    network {
      mode = "host"
      port "http" {}
      port "admin" {
        static = 8080
        to     = 80
      }
    }
    affinity {
      attribute = "${node.class}"
      regexp    = "fast.*"
      weight    = 70
    }
    spread {
      attribute = "${node.datacenter}"
      weight    = 100
      target "edge-a" {
        percent = 60
      }
    }
    volume "data" {
      type   = "host"
      source = "ledger"
    }
    restart {
      attempts = 0
      mode     = "fail"
    }
    reschedule {
      attempts  = 0
      unlimited = false
    }
    ephemeral_disk {
      size = 500
    }
    service {
      name = "${var.image}-web"
      port = "http"
      tags = ["a", "b"]
      check {
        type     = "http"
        path     = "/health"
        interval = "1s"
        timeout  = "250ms"
      }
      connect {
        sidecar_service {
          proxy {
            upstreams {
              destination_name = "cart"
              local_bind_port  = 9000
            }
          }
        }
      }
    }
    task "serve" {
      driver       = "raw_exec"
      kill_timeout = "2s"
      env {
        PORT = "${NOMAD_PORT_http}"
      }
      config {
        command = "/bin/${var.image}"
        args    = ["--listen", "${NOMAD_ADDR_http}"]
      }
      template {
        data        = <<EOT
upstream = {{ env "X" }}
EOT
        destination = "local/app.conf"
      }
      volume_mount {
        volume      = "data"
        destination = "/data"
      }
      resources {
        cpu    = 250
        memory = 64
      }
    }
  }
}
"#;

#[test]
fn a_job_file_with_every_stanza_becomes_nomad_json() {
    let job = parse_job(SHOP).expect("parses");
    let group = &job["TaskGroups"][0];
    let task = &group["Tasks"][0];
    assert_eq!(
        (text(&job, "ID"), int(&job, "Priority"), text(&job, "Type")),
        ("shop", 60, "service")
    );
    assert_eq!(job["Meta"], json!({"tier": "edge", "limit": "5"}));
    assert_eq!(
        job["Constraints"][0],
        json!({"LTarget": "${attr.kernel.name}", "Operand": "=", "RTarget": "linux"})
    );
    assert_eq!(job["Constraints"][1]["Operand"], "distinct_hosts");
    assert_eq!(int(&group["Update"], "MinHealthyTime"), 90 * SECOND);
    assert_eq!(int(&group["Update"], "MaxParallel"), 2);
    assert_eq!(
        group["Networks"][0]["ReservedPorts"][0],
        json!({"HostNetwork": "", "Label": "admin", "To": 80, "Value": 8080})
    );
    assert_eq!(group["Networks"][0]["DynamicPorts"][0]["Label"], "http");
    assert_eq!(
        group["Affinities"][0],
        json!({"LTarget": "${node.class}", "Operand": "regexp", "RTarget": "fast.*", "Weight": 70})
    );
    assert_eq!(
        group["Spreads"][0]["SpreadTarget"],
        json!([{"Percent": 60, "Value": "edge-a"}])
    );
    assert_eq!(group["Volumes"]["data"]["Source"], "ledger");
    assert_eq!(
        (
            int(&group["RestartPolicy"], "Attempts"),
            int(&group["RestartPolicy"], "Delay")
        ),
        (0, 15 * SECOND)
    );
    assert!(!flag(&group["ReschedulePolicy"], "Unlimited"));
    assert_eq!(int(&group["EphemeralDisk"], "SizeMB"), 500);
    let service = &group["Services"][0];
    assert_eq!(
        (text(service, "Name"), text(service, "PortLabel")),
        ("shop-web", "http")
    );
    assert_eq!(int(&service["Checks"][0], "Timeout"), SECOND / 4);
    assert_eq!(
        service["Connect"]["SidecarService"]["Proxy"]["Upstreams"][0]["LocalBindPort"],
        9000
    );
    assert_eq!(
        task["Config"],
        json!({"command": "/bin/shop", "args": ["--listen", "${NOMAD_ADDR_http}"]})
    );
    assert_eq!(task["Env"]["PORT"], "${NOMAD_PORT_http}");
    assert_eq!(
        task["Templates"][0]["EmbeddedTmpl"],
        "upstream = {{ env \"X\" }}\n"
    );
    assert_eq!(task["VolumeMounts"][0]["PropagationMode"], "private");
    assert_eq!(int(task, "KillTimeout"), 2 * SECOND);
}

#[test]
fn a_fault_is_told_with_line_and_columns() {
    let error = parse_job("job \"x\" { oops").expect_err("faulty");
    assert_eq!((error.line, error.column, error.end_column), (1, 11, 15));
    assert!(
        error
            .to_string()
            .starts_with("input.hcl:1,11-15: Argument or block definition required; An argument"),
        "{error}"
    );
    let error = parse_job("job \"x\" {\n  datacentres = [\"edge\"]\n}\n").expect_err("faulty");
    assert_eq!((error.line, error.column, error.end_column), (2, 3, 14));
    assert!(
        error
            .detail
            .contains("\"datacentres\" is not expected here"),
        "{error}"
    );
    let error =
        parse_job("job \"x\" {\n  update {\n    stagger = \"soon\"\n  }\n}\n").expect_err("faulty");
    assert_eq!((error.line, error.column), (3, 15));
}

/// What is computed here, and the counts that are no whole numbers, are as a real Nomad (1.0) has them. Of what is refused it takes
/// some: a remainder by zero is the dividend there, the lowest number's by -1 is 0, and a branch not taken does not matter.
#[test]
fn arithmetic_is_computed_or_refused_and_never_stops_anything() {
    let count = |expression: &str| {
        parse_job(&format!(
            "job \"x\" {{\n  group \"g\" {{\n    count = {expression}\n  }}\n}}\n"
        ))
        .map(|job| int(&job["TaskGroups"][0], "Count"))
        .map_err(|e| {
            assert_eq!(e.line, 3, "{e}");
            e.to_string()
        })
    };
    let computed = [
        ("7 % 4", 3),
        ("-7 % 4", -3),
        ("6 / 3", 2),
        ("2 * 1.5", 3),
        ("-(3)", -3),
        ("true ? 3 : 1 + 1", 3),
        ("[for x in [1]: 6 - 1][0]", 5),
        ("-9223372036854775807 - 1", i64::MIN),
    ];
    for (expression, value) in computed {
        assert_eq!(count(expression), Ok(value), "{expression}");
    }
    let max = i64::MAX;
    let refused = [
        "6 % 0",
        "-6 % 0",
        "6 / 0",
        "0 / 0",
        "1.5 % 0",
        "1e308 * 10.5",
        &format!("{max} * 3"),
        &format!("{max} + 1"),
        "(-9223372036854775807 - 1) % -1",
        "18446744073709551615 + 1",
        "18446744073709551615 - 0.5",
        "-(6 % 0)",
        "[6 % 0][0]",
        "true ? 3 : 6 % 0",
        "[for x in [1]: 6 % 0][0]",
        "[for x in [0]: 6 % x][0]",
        "[for x in [1]: \"${6 % 0}\"][0]",
        "{a = 6 % 0}.a",
    ];
    for expression in refused {
        let error = count(expression).expect_err(expression);
        assert!(
            error.contains("Operation failed; Error during operation: "),
            "{error}"
        );
    }
    for expression in ["1.5 + 2", "10 / 4", "18446744073709551615"] {
        let error = count(expression).expect_err(expression);
        assert!(error.contains("value must be a whole number"), "{error}");
    }
    let error = count("6 % 0").expect_err("no remainder");
    let why = "input.hcl:3,13-14: Operation failed; Error during operation: 6 % 0 is no number of 64 bits.";
    assert_eq!(error, why);
}

#[test]
fn durations_are_read_as_go_reads_them() {
    for (text, nanos) in [
        ("90s", 90 * SECOND),
        ("1h0m1.5s", 3601 * SECOND + SECOND / 2),
        ("250ms", SECOND / 4),
        ("0", 0),
    ] {
        assert_eq!(value::go_duration(text), Some(nanos), "{text}");
    }
    for text in ["", "5", "5 s", "soon"] {
        assert_eq!(value::go_duration(text), None, "{text}");
    }
}
