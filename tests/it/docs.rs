//! The page on security: each claim names tests, and all of them are there.

use std::{collections::BTreeSet, fs};

/// What the page says of one thing: list items, each with the section that it stands in.
fn items(page: &str) -> Vec<(String, String)> {
    let (mut section, mut items) = (String::new(), Vec::<(String, String)>::new());
    for line in page.lines() {
        if let Some(heading) = line.strip_prefix("## ") {
            section = heading.to_owned();
        } else if line.starts_with("- ") {
            items.push((section.clone(), line.to_owned()));
        } else if let (true, Some((_, item))) = (line.starts_with("  "), items.last_mut()) {
            item.push('\n');
            item.push_str(line);
        }
    }
    items
}

/// The tests that a text names, as file and function.
fn named(text: &str) -> Vec<(&str, &str)> {
    let quoted = text.split('`').skip(1).step_by(2);
    let tests = quoted.filter(|code| code.starts_with("tests/") || code.starts_with("src/"));
    tests.filter_map(|code| code.split_once("::")).collect()
}

/// Whether a file has a test of this name.
fn has_test(source: &str, function: &str) -> bool {
    let name = function.strip_prefix("tests::").unwrap_or(function);
    let lines: Vec<&str> = source.lines().map(str::trim).collect();
    let place = lines.iter().position(|line| {
        let line = line.strip_prefix("async ").unwrap_or(line);
        line.strip_prefix("fn ").and_then(|line| line.strip_prefix(name)).is_some_and(|rest| rest.starts_with('('))
    });
    place.is_some_and(|place| {
        let before = lines[..place].iter().rev().take_while(|line| line.starts_with('#') || line.starts_with("//"));
        before.copied().any(|line| line.starts_with("#[test]") || line.starts_with("#[tokio::test"))
    })
}

#[test]
fn each_claim_on_security_names_tests_that_exist() {
    let page = fs::read_to_string("docs/security.md").expect("the page");
    let (mut faults, mut tests) = (String::new(), BTreeSet::new());
    let claims = items(&page);
    let claims: Vec<_> = claims.iter().filter(|(section, _)| section.starts_with("What is defended")).collect();
    assert!(claims.len() >= 30, "the claims are found: {}", claims.len());
    for (_, claim) in claims {
        if named(claim).is_empty() {
            faults.push_str(&format!("no test: {claim}\n"));
        }
    }
    for (file, function) in named(&page) {
        let source = fs::read_to_string(file).unwrap_or_default();
        if !has_test(&source, function) {
            faults.push_str(&format!("not there: {file}::{function}\n"));
        }
        assert!(!function.starts_with("tests::") || file.starts_with("src/"), "{file}::{function}");
        tests.insert((file, function));
    }
    assert!(faults.is_empty(), "{faults}");
    assert!(tests.len() >= 60, "{}", tests.len());
    // What looks for them finds nothing where there is nothing.
    assert!(!has_test("fn a_test() {}\n", "a_test"));
    assert!(!has_test("#[test]\nfn a_test() {}\n", "a_tes"));
    assert!(has_test("    /// Why.\n    #[test]\n    fn a_test() {}\n", "tests::a_test"));
}
