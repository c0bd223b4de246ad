//! The papers that go with the product are those of the product as it is: licences, bill of materials, pictures, reference, packages.
#![allow(clippy::disallowed_methods)] // cargo says in the environment where it is

#[path = "../examples/paperwork/dependencies.rs"]
mod dependencies;
#[path = "../examples/paperwork/keys.rs"]
mod keys;
#[path = "../examples/paperwork/risk.rs"]
mod risk;

use std::collections::BTreeSet;
use std::path::Path;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(name: &str) -> String {
    std::fs::read_to_string(root().join(name)).expect("a file of the repository")
}

#[test]
fn the_list_of_third_parties_is_that_of_the_lock_file() {
    let (is, said) = (
        dependencies::third_party(root()).expect("licences"),
        read("THIRD-PARTY.md"),
    );
    let rows = |text: &str| -> BTreeSet<String> {
        let rows = text
            .lines()
            .filter(|l| l.starts_with("| ") && l.contains('.'));
        rows.map(|l| l.split(" | ").take(2).collect::<Vec<_>>().join(" | "))
            .collect()
    };
    let (is_rows, said_rows) = (rows(&is), rows(&said));
    assert!(is_rows.len() > 100, "{}", is_rows.len());
    let missing: Vec<_> = is_rows.difference(&said_rows).collect();
    let gone: Vec<_> = said_rows.difference(&is_rows).collect();
    assert!(
        missing.is_empty() && gone.is_empty(),
        "run `just third-party`: {missing:?} are not in THIRD-PARTY.md, {gone:?} no longer in the binary"
    );
}

#[test]
fn the_bill_of_materials_names_every_package_with_licence_checksum_and_what_it_needs() {
    let bom = dependencies::sbom(root()).expect("a bill");
    assert_eq!(
        (&bom["bomFormat"], &bom["specVersion"]),
        (&"CycloneDX".into(), &"1.5".into())
    );
    let components = bom["components"].as_array().expect("components");
    let refs: BTreeSet<&str> = components
        .iter()
        .filter_map(|c| c["bom-ref"].as_str())
        .collect();
    assert_eq!(refs.len(), components.len(), "a reference is given twice");
    for c in components {
        let sum = c["hashes"][0]["content"].as_str().unwrap_or_default();
        assert_eq!(sum.len(), 64, "{c}");
        let licence = c["licenses"][0]["expression"].as_str().unwrap_or_default();
        assert!(!licence.is_empty() && !licence.contains('/'), "{c}");
    }
    let dependencies = bom["dependencies"].as_array().expect("dependencies");
    assert_eq!(dependencies.len(), components.len() + 1);
    for needed in dependencies
        .iter()
        .flat_map(|d| d["dependsOn"].as_array().expect("a list"))
    {
        assert!(
            refs.contains(needed.as_str().expect("a reference")),
            "{needed}"
        );
    }
}

#[test]
fn the_picture_of_risk_tolerance_is_drawn_from_the_formula_in_force() {
    let (is, said) = (risk::picture(), read("assets/risk.svg"));
    assert!(
        is == said,
        "run `just risk`: assets/risk.svg is not what the planner computes"
    );
}

#[test]
fn the_table_of_keys_is_what_the_readers_ask_for() {
    let (text, table) = (
        read("docs/policy.md"),
        keys::table(root()).expect("the readers"),
    );
    assert!(table.lines().count() > 60, "{table}");
    let with = keys::put(&text, &table).expect("docs/policy.md has a place for it");
    assert!(
        with == text,
        "run `just keys`: the table in docs/policy.md is stale"
    );
}

#[test]
fn the_container_runs_as_nobody_and_opens_no_port() {
    let file = read("Dockerfile");
    let last = file.rsplit("\nFROM ").next().expect("a last stage");
    let user = last
        .lines()
        .find_map(|l| l.strip_prefix("USER "))
        .expect("a user");
    assert!(
        user.split(':')
            .next()
            .is_some_and(|u| u.parse::<u32>().is_ok_and(|u| u > 0)),
        "{user}"
    );
    assert!(
        !file.contains("\nEXPOSE"),
        "what listens on loopback has no port to open"
    );
    assert!(
        !last.contains("cargo") && last.contains("COPY --from="),
        "{last}"
    );
    // Of what the binary links (tests/service.rs), the smaller ones have no libgcc_s.
    assert!(last.starts_with("gcr.io/distroless/cc-"), "{last}");
}

#[test]
fn the_package_holds_the_program_its_unit_and_its_papers_and_each_file_of_it_exists() {
    let manifest = read("Cargo.toml");
    let deb = manifest
        .split("[package.metadata.deb]")
        .nth(1)
        .expect("what cargo-deb needs");
    let deb = deb.split("\n[").next().expect("a section");
    let sources: Vec<&str> = deb
        .lines()
        .filter_map(|l| l.trim().strip_prefix("[\"")?.split('"').next())
        .collect();
    assert!(sources.len() > 8, "{sources:?}");
    for source in &sources {
        // What is built first (`just deb`) is not in the repository.
        let there = source.starts_with("target/")
            || root().join(source.trim_end_matches("/*.hcl")).exists();
        assert!(there, "{source} does not exist");
    }
    for wanted in [
        "foreshadow.hcl",
        "policies/acl",
        "THIRD-PARTY.md",
        "foreshadow.1",
        "completions",
    ] {
        assert!(
            sources.iter().any(|s| s.contains(wanted)),
            "no {wanted}: {sources:?}"
        );
    }
    // The unit lies where scripts are made for it, or systemd would not hear of it.
    let scripts = deb
        .lines()
        .find_map(|l| l.strip_prefix("maintainer-scripts = "));
    let scripts = scripts.expect("a folder").trim_matches('"');
    let unit = format!("> {scripts}/foreshadow.service");
    assert!(read("justfile").contains(&unit), "`just deb`: no {unit}");
    assert!(deb.contains("\nsystemd-units = "), "{deb}");
}
