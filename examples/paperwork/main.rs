//! The papers that go with the product, made from what is really so: `cargo run --example paperwork -- third-party > THIRD-PARTY.md`,
//! `… -- sbom > foreshadow.cdx.json`, `… -- risk > assets/risk.svg`, `… -- keys docs/policy.md`. Tests say when one is stale.

mod dependencies;
mod keys;
mod risk;

use std::path::Path;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match args.as_slice() {
        ["third-party"] => print!("{}", dependencies::third_party(root)?),
        ["sbom"] => println!("{:#}", dependencies::sbom(root)?),
        ["risk"] => print!("{}", risk::picture()),
        ["keys", file] => {
            let text = std::fs::read_to_string(file)?;
            let with = keys::put(&text, &keys::table(root)?)
                .ok_or("the file has no place for the table of keys")?;
            std::fs::write(file, with)?;
        }
        _ => return Err("third-party, sbom, risk, or keys FILE".into()),
    }
    Ok(())
}
