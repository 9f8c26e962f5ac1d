//! Files that are generated from the code, held against it. `INSTA_UPDATE=always` writes them anew.

use std::{fs, process::Command};

use keyglass::config::config_file_schema;

#[allow(clippy::disallowed_methods, reason = "the switch that insta's own snapshots obey")]
fn update() -> bool {
    std::env::var("INSTA_UPDATE").is_ok_and(|value| value == "always")
}

#[test]
fn the_readme_has_the_present_tools() {
    const BEGIN: &str = "<!-- tools: begin -->\n";
    const END: &str = "<!-- tools: end -->";
    let output = Command::new(env!("CARGO_BIN_EXE_keyglass")).args(["tools", "--markdown"]).output().expect("runs");
    let table = String::from_utf8(output.stdout).expect("text");
    let readme = fs::read_to_string("README.md").expect("the README");
    let (before, rest) = readme.split_once(BEGIN).expect("the beginning of the table");
    let (_, after) = rest.split_once(END).expect("the end of the table");
    let expected = format!("{before}{BEGIN}{table}{END}{after}");
    if update() {
        fs::write("README.md", &expected).expect("written");
    } else {
        assert_eq!(readme, expected, "the tool table of the README is out of date");
    }
}

#[test]
fn the_schema_of_the_configuration_is_the_present_one() {
    let mut expected = serde_json::to_string_pretty(&config_file_schema()).expect("JSON");
    expected.push('\n');
    let path = "schemas/keyglass-config.json";
    if update() {
        fs::write(path, &expected).expect("written");
    } else {
        assert_eq!(fs::read_to_string(path).expect("the schema"), expected, "{path} is out of date");
    }
}
