//! What is built into the binary on Linux: whose it is, under which licence, and as a bill of materials. From `cargo metadata` and `Cargo.lock`.

#![allow(clippy::disallowed_methods)] // cargo says in the environment where it is

use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

type Anything = Box<dyn std::error::Error>;
const PLATFORM: &str = "x86_64-unknown-linux-gnu";

/// A package that is linked in, and what it needs of the others, by `name version`.
pub struct Package {
    pub name: String,
    pub version: String,
    pub licence: String,
    pub needs: BTreeSet<String>,
    folder: PathBuf,
    checksum: Option<String>,
}

impl Package {
    pub fn key(&self) -> String {
        format!("{} {}", self.name, self.version)
    }
    fn purl(&self) -> String {
        format!("pkg:cargo/{}@{}", self.name, self.version)
    }
}

fn text(value: &Value, key: &str) -> String {
    value[key].as_str().unwrap_or_default().to_string()
}

fn list<'a>(value: &'a Value, key: &str) -> impl Iterator<Item = &'a Value> {
    value[key].as_array().into_iter().flatten()
}

/// The product first, then what it is linked with, by name.
pub fn packages(root: &Path) -> Result<Vec<Package>, Anything> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let asked = Command::new(cargo)
        .args([
            "metadata",
            "--format-version",
            "1",
            "--locked",
            "--offline",
            "--filter-platform",
            PLATFORM,
        ])
        .current_dir(root)
        .output()?;
    if !asked.status.success() {
        return Err(String::from_utf8_lossy(&asked.stderr).into());
    }
    let metadata: Value = serde_json::from_slice(&asked.stdout)?;
    let nodes: BTreeMap<String, &Value> = list(&metadata["resolve"], "nodes")
        .map(|n| (text(n, "id"), n))
        .collect();
    let about: BTreeMap<String, &Value> = list(&metadata, "packages")
        .map(|p| (text(p, "id"), p))
        .collect();
    let checksums = checksums(&std::fs::read_to_string(root.join("Cargo.lock"))?);
    let start = text(&metadata["resolve"], "root");
    let (mut open, mut found) = (vec![start.clone()], BTreeMap::new());
    while let Some(id) = open.pop() {
        if found.contains_key(&id) {
            continue;
        }
        let (node, about_it) = (nodes[&id], about[&id]);
        // What only builds or tests is not in the binary.
        let linked =
            list(node, "deps").filter(|d| list(d, "dep_kinds").any(|k| k["kind"].is_null()));
        let linked: Vec<String> = linked.map(|d| text(d, "pkg")).collect();
        let key =
            |id: &String| format!("{} {}", text(about[id], "name"), text(about[id], "version"));
        let package = Package {
            name: text(about_it, "name"),
            version: text(about_it, "version"),
            licence: text(about_it, "license"),
            needs: linked.iter().map(key).collect(),
            folder: PathBuf::from(text(about_it, "manifest_path")).with_file_name(""),
            checksum: checksums.get(&key(&id)).cloned(),
        };
        open.extend(linked);
        found.insert(id, package);
    }
    let product = found
        .remove(&start)
        .ok_or("the product is not among its packages")?;
    let mut all: Vec<Package> = found.into_values().collect();
    all.sort_by_key(Package::key);
    all.insert(0, product);
    Ok(all)
}

fn checksums(lock: &str) -> BTreeMap<String, String> {
    let field = |block: &str, key: &str| {
        let line = block
            .lines()
            .find_map(|l| l.strip_prefix(&format!("{key} = \"")))?;
        Some(line.trim_end_matches('"').to_string())
    };
    let of = |block: &str| {
        let key = format!("{} {}", field(block, "name")?, field(block, "version")?);
        Some((key, field(block, "checksum")?))
    };
    lock.split("[[package]]").filter_map(of).collect()
}

/// Whose it is (a line for each holder), and the words of the licence without them.
fn split_notice(text: &str) -> (Vec<String>, String) {
    let holder = |l: &&str| {
        let l = l.to_ascii_lowercase();
        l.starts_with("copyright")
            && (l.contains("(c)") || l.contains('©') || l.contains(|c: char| c.is_ascii_digit()))
    };
    let lines: Vec<&str> = text.lines().map(str::trim_end).collect();
    let holders = lines
        .iter()
        .map(|l| l.trim())
        .filter(holder)
        .map(str::to_string)
        .collect();
    let words: Vec<&str> = lines.into_iter().filter(|l| !holder(&l.trim())).collect();
    (holders, words.join("\n").trim().to_string())
}

fn notices(folder: &Path) -> Vec<String> {
    let starts = [
        "license",
        "licence",
        "copying",
        "notice",
        "unlicense",
        "copyright",
    ];
    let Ok(entries) = std::fs::read_dir(folder) else {
        return Vec::new();
    };
    let mut files: Vec<PathBuf> = entries
        .flatten()
        .map(|e| e.path())
        .filter(|p| p.is_file())
        .collect();
    files.retain(|p| {
        let name = p
            .file_name()
            .map(|n| n.to_string_lossy().to_ascii_lowercase())
            .unwrap_or_default();
        starts.iter().any(|s| name.starts_with(s))
    });
    files.sort();
    files
        .iter()
        .filter_map(|p| std::fs::read_to_string(p).ok())
        .collect()
}

/// Every package with its licence and holders, then each licence's words once.
pub fn third_party(root: &Path) -> Result<String, Anything> {
    let all = packages(root)?;
    let mut out = String::from(
        "# Third parties\n\nWhat is linked into `foreshadow` on Linux, and under which terms. Made by `just third-party`; a test says when it is stale.\n\n| package | licence | holders |\n|---|---|---|\n",
    );
    // Words by what they say, whatever the line breaks.
    let mut texts: BTreeMap<String, (String, BTreeSet<String>)> = BTreeMap::new();
    for package in all.iter().skip(1) {
        let mut holders = BTreeSet::new();
        for notice in notices(&package.folder) {
            let (theirs, words) = split_notice(&notice);
            holders.extend(theirs);
            let same = words
                .split_whitespace()
                .collect::<Vec<_>>()
                .join(" ")
                .to_ascii_lowercase();
            let entry = texts
                .entry(same)
                .or_insert_with(|| (words, BTreeSet::new()));
            entry.1.insert(package.key());
        }
        let holders: Vec<String> = holders.into_iter().map(|h| h.replace('|', "/")).collect();
        writeln!(
            out,
            "| {} | {} | {} |",
            package.key(),
            package.licence,
            holders.join("; ")
        )?;
    }
    let mut texts: Vec<(String, BTreeSet<String>)> = texts
        .into_values()
        .filter(|(words, _)| !words.is_empty())
        .collect();
    texts.sort_by(|a, b| b.1.len().cmp(&a.1.len()).then_with(|| a.1.cmp(&b.1)));
    for (words, of) in texts {
        let of: Vec<String> = of.into_iter().collect();
        let quoted: Vec<&str> = words.lines().collect();
        writeln!(
            out,
            "\n## {}\n\n~~~text\n{}\n~~~",
            of.join(", "),
            quoted.join("\n")
        )?;
    }
    Ok(out)
}

/// CycloneDX 1.5 as JSON (<https://cyclonedx.org/docs/1.5/json/>). Without time and serial number: the same lock file, the same bytes.
pub fn sbom(root: &Path) -> Result<Value, Anything> {
    let all = packages(root)?;
    let component = |p: &Package, kind: &str| {
        let mut component = json!({
            "type": kind, "bom-ref": p.purl(), "name": p.name, "version": p.version, "purl": p.purl(),
        });
        if !p.licence.is_empty() {
            // Crates of before 2018 write `/` for OR.
            component["licenses"] = json!([{ "expression": p.licence.replace('/', " OR ") }]);
        }
        if let Some(sum) = &p.checksum {
            component["hashes"] = json!([{ "alg": "SHA-256", "content": sum }]);
        }
        component
    };
    let purl: BTreeMap<String, String> = all.iter().map(|p| (p.key(), p.purl())).collect();
    let needs = |p: &Package| p.needs.iter().map(|n| purl[n].clone()).collect::<Vec<_>>();
    let components: Vec<Value> = all
        .iter()
        .skip(1)
        .map(|p| component(p, "library"))
        .collect();
    let dependencies: Vec<Value> = all
        .iter()
        .map(|p| json!({ "ref": p.purl(), "dependsOn": needs(p) }))
        .collect();
    Ok(json!({
        "$schema": "http://cyclonedx.org/schema/bom-1.5.schema.json",
        "bomFormat": "CycloneDX", "specVersion": "1.5", "version": 1,
        "metadata": { "component": component(&all[0], "application") },
        "components": components, "dependencies": dependencies,
    }))
}
