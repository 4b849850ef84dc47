//! What README.md and docs/ say: their code is run by other tests, and what they point to is there.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// The documents, each with its text.
fn documents() -> Vec<(PathBuf, String)> {
    let docs = fs::read_dir(Path::new(ROOT).join("docs")).unwrap();
    let docs = docs.map(|entry| entry.unwrap().path());
    let top =
        ["README.md", "CONTRIBUTING.md", "CHANGELOG.md"].map(|name| Path::new(ROOT).join(name));
    let read = |path: PathBuf| {
        let text = fs::read_to_string(&path).unwrap();
        (path, text)
    };
    top.into_iter().chain(docs).map(read).collect()
}

/// The code block that begins so, in whichever document.
pub fn code_block(language: &str, first: &str) -> String {
    let fence = format!("```{language}\n{first}");
    let blocks = documents().into_iter().filter_map(|(_, text)| {
        let block = &text[text.find(&fence)? + language.len() + 4..];
        Some(block[..=block.find("\n```").unwrap()].to_owned())
    });
    let blocks: Vec<String> = blocks.collect();
    assert_eq!(blocks.len(), 1, "{fence}");
    blocks.concat()
}

/// The anchors of a document's headings, as GitHub makes them.
fn anchors(text: &str) -> BTreeSet<String> {
    let headings = text.lines().filter_map(|line| line.strip_prefix('#'));
    let anchor = |heading: &str| {
        let words = heading.trim_start_matches('#').trim().to_lowercase();
        let kept = words
            .chars()
            .filter(|&c| c.is_alphanumeric() || "-_ ".contains(c));
        kept.map(|c| if c == ' ' { '-' } else { c }).collect()
    };
    headings.map(anchor).collect()
}

#[test]
fn every_link_leads_somewhere() {
    let mut followed = 0;
    for (path, text) in documents() {
        for link in text.split("](").skip(1) {
            let link = &link[..link.find(')').unwrap()];
            if link.starts_with("https://") {
                continue;
            }
            let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
            let target = match file {
                "" => path.clone(),
                file => path.parent().unwrap().join(file),
            };
            assert!(target.exists(), "{}: {link}", path.display());
            if !anchor.is_empty() {
                let there = anchors(&fs::read_to_string(&target).unwrap());
                assert!(there.contains(anchor), "{}: {link}", path.display());
            }
            followed += 1;
        }
    }
    assert!(followed > 10);
}

#[test]
fn every_kind_of_warning_and_error_is_listed() {
    let read = |path: &str| fs::read_to_string(Path::new(ROOT).join(path)).unwrap();
    let (source, docs) = (read("src/reason/mod.rs"), read("docs/for-programs.md"));
    let (_, kinds) = source.split_once("pub enum Kind {").unwrap();
    let (kinds, _) = kinds.split_once('}').unwrap();
    let (_, listed) = docs.split_once("## Kinds").unwrap();
    let listed: Vec<&str> = listed.split('`').skip(1).step_by(2).collect();
    let mut count = 0;
    for kind in kinds
        .lines()
        .filter_map(|line| line.trim().strip_suffix(','))
    {
        let mut name = String::new();
        for c in kind.chars() {
            if c.is_uppercase() && !name.is_empty() {
                name.push('_');
            }
            name.extend(c.to_lowercase());
        }
        assert!(listed.contains(&&*name), "{name}");
        count += 1;
    }
    assert!(count > 50, "{count}");
}

#[test]
fn every_test_that_is_named_is_there() {
    let suite = fs::read_dir(Path::new(ROOT).join("tests/suite")).unwrap();
    let files = suite
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_file());
    let suite: String = files
        .map(|path| fs::read_to_string(path).unwrap())
        .collect();
    let table = fs::read_to_string(Path::new(ROOT).join("docs/what-can-happen.md")).unwrap();
    let servers = fs::read_to_string(Path::new(ROOT).join("docs/servers.md")).unwrap();
    let (_, differing) = servers.split_once("| what differs |").unwrap();
    let rows = table.lines().filter(|line| line.starts_with("| ")).skip(2);
    let differing = differing.lines().filter(|line| line.starts_with("| "));
    let mut named = 0;
    for row in rows.chain(differing.skip(1)) {
        let tests = row.trim_end_matches(" |").rsplit("| ").next().unwrap();
        for test in tests.split('`').skip(1).step_by(2) {
            assert!(suite.contains(&format!("fn {test}(")), "{test}");
            named += 1;
        }
    }
    assert!(named > 50, "{named}");
}
