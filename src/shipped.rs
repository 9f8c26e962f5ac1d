//! The specs and schemas of this repository, compiled into the program so that it works from any folder.

use crate::spec::Source;

/// Where the shipped files seem to lie: a place that no file system has.
pub const ROOT: &str = "<shipped>";

macro_rules! shipped {
    ($($path:literal),+ $(,)?) => {
        vec![$(Source::Shipped {
            name: concat!("<shipped>/", $path),
            text: include_str!(concat!("../", $path)),
        }),+]
    };
}

/// The shipped capability specs.
pub fn specs() -> Vec<Source> {
    shipped![
        "capabilities/runloop-api-keys.yaml",
        "capabilities/runloop-restricted-keys.yaml",
        "capabilities/runloop-secrets.yaml",
    ]
}

/// The shipped JSON Schemas that the specs refer to.
pub fn schemas() -> Vec<Source> {
    shipped!["schemas/runloop-api-keys.json", "schemas/runloop-restricted-keys.json", "schemas/runloop-secrets.json",]
}
