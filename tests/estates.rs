//! The example estates, as people and pull requests meet them: every file is valid, policies and jobs fit each other, and what is
//! wrong is told beside its line.

use serde_json::Value;
use std::path::Path;
use std::process::{Command, Output};

/// Each with a policy and a job of its name.
const ESTATES: [&str; 3] = ["two-site-shop", "cdn-edge", "factory"];

fn foreshadow(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_foreshadow"))
        .args(args)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("the program starts")
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

fn files(folder: &str) -> Vec<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let entries = std::fs::read_dir(root.join(folder)).expect("the folder");
    let names = entries.map(|e| {
        e.expect("an entry")
            .file_name()
            .to_string_lossy()
            .into_owned()
    });
    let mut files: Vec<String> = names
        .filter(|n| n.ends_with(".hcl"))
        .map(|n| format!("{folder}/{n}"))
        .collect();
    files.sort();
    files
}

#[test]
fn every_policy_and_every_job_of_the_repository_is_valid() {
    let mut all = vec!["validate".to_string()];
    all.extend(files("policies"));
    all.extend(files("jobs"));
    for estate in ESTATES {
        assert!(all.contains(&format!("policies/{estate}.hcl")));
        assert!(all.contains(&format!("jobs/{estate}.nomad.hcl")));
    }
    let args: Vec<&str> = all.iter().map(String::as_str).collect();
    let output = foreshadow(&args);
    assert!(output.status.success(), "{}", said(&output));
}

#[test]
fn each_estates_policy_names_groups_of_its_job_and_something_of_it_can_be_shadowed() {
    for estate in ESTATES {
        let (policy, job) = (
            format!("policies/{estate}.hcl"),
            format!("jobs/{estate}.nomad.hcl"),
        );
        let output = foreshadow(&["partition", &job, "--policy", &policy, "--format", "json"]);
        assert!(output.status.success(), "{}", said(&output));
        let found: Value = serde_json::from_slice(&output.stdout).expect("JSON");
        let portions = found["portions"].as_array().expect("portions");
        assert_eq!(portions.len(), 3, "{estate}: {found}");
        let shadowable = portions.iter().filter(|p| p["not_shadowable"].is_null());
        assert!(shadowable.count() > 0, "{estate}: {found}");
        let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(&policy))
            .expect("the policy");
        let portion = |name: &str| text.contains(&format!("portion \"{name}\""));
        for p in portions {
            let id = p["id"].as_str().expect("an id");
            assert!(portion(id), "{estate}: the policy says nothing of {id}");
        }
    }
}

/// Whoever copies an example should know why a value is what it is: no nine values in a row without a word about them.
#[test]
fn the_estates_policies_say_why_their_values_are_as_they_are() {
    for estate in ESTATES {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("policies/{estate}.hcl"));
        let text = std::fs::read_to_string(path).expect("the policy");
        let mut silent = 0;
        for (n, line) in text.lines().map(str::trim).enumerate() {
            silent = match line {
                l if l.starts_with('#') => 0,
                l if l.contains(" = ") => silent + 1,
                _ => silent,
            };
            assert!(silent < 9, "{estate}:{}: nine values without a word", n + 1);
        }
    }
}

#[test]
fn what_is_wrong_in_a_pull_request_is_told_beside_its_line() {
    let folder = tempfile::tempdir().expect("a folder");
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).expect("written");
        path.display().to_string()
    };
    let policy = write(
        "p.hcl",
        "workload \"x\" {\n  risk_tolerance = 0.3\n  jbo = \"y\"\n}\n",
    );
    let job = write("j.nomad.hcl", "job \"x\" {\n  grop \"web\" {}\n}\n");
    let good = "policies/shop.hcl";
    let output = foreshadow(&["validate", "--format", "github", &policy, good, &job]);
    assert_eq!(output.status.code(), Some(64));
    let out = String::from_utf8_lossy(&output.stdout).into_owned();
    let lines: Vec<&str> = out.lines().collect();
    assert_eq!(lines.len(), 3, "{out}");
    assert!(
        lines[0].starts_with(&format!("::error file={policy},line=")),
        "{out}"
    );
    assert!(
        lines[0].contains(",col=") && lines[0].contains(",title=foreshadow::"),
        "{out}"
    );
    assert!(lines[1].starts_with(good), "{out}");
    assert!(
        lines[2].starts_with(&format!(
            "::error file={job},line=2,col=3,endLine=2,endColumn=7,"
        )),
        "{out}"
    );

    let output = foreshadow(&["validate", "--format", "json", &policy, good, "no/such.hcl"]);
    let list: Value = serde_json::from_slice(&output.stdout).expect("one JSON document");
    assert_eq!(list[0]["ok"], false);
    assert!(
        list[0]["line"].is_u64() && list[0]["column"].is_u64(),
        "{list}"
    );
    assert_eq!(list[1]["ok"], true);
    assert!(
        list[2]["line"].is_null()
            && list[2]["message"]
                .as_str()
                .is_some_and(|m| m.contains("cannot be read")),
        "{list}"
    );
}

#[test]
fn a_configuration_whose_policies_are_not_there_is_told_with_the_path_that_was_tried() {
    let folder = tempfile::tempdir().expect("a folder");
    let config = folder.path().join("foreshadow.hcl");
    let text = "policies = [\"mine\"]\ngateway \"a\" {\n  site = \"a\"\n}\n";
    std::fs::write(&config, text).expect("written");
    let config = config.display().to_string();
    let output = foreshadow(&["validate", &config]);
    assert_eq!(output.status.code(), Some(64));
    let (told, tried) = (said(&output), folder.path().join("mine"));
    assert!(told.starts_with(&format!("{config}:1:12: ")), "{told}");
    assert!(told.contains(&tried.display().to_string()), "{told}");
    assert!(told.contains("create it, or correct the path"), "{told}");
    std::fs::create_dir(&tried).expect("made");
    let shop = Path::new(env!("CARGO_MANIFEST_DIR")).join("policies/shop.hcl");
    std::fs::copy(shop, tried.join("shop.hcl")).expect("copied");
    let output = foreshadow(&["validate", &config]);
    assert!(output.status.success(), "{}", said(&output));
    assert!(said(&output).contains("1 gateway and 1 workload"));
    let output = foreshadow(&["validate", &tried.display().to_string()]);
    assert!(said(&output).contains("name a file in that folder"));
}
