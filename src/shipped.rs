//! The specs and schemas of this repository, compiled into the program so that it works from any folder, and the groups
//! that they are offered in.

use std::str::FromStr;

use crate::{nearest::nearest, spec::Source};

/// Where the shipped files seem to lie: a place that no file system has.
pub const ROOT: &str = "<shipped>";

/// The namespace that the tools of [`Group::Management`] consume.
pub const MANAGEMENT_NAMESPACE: &str = "keyglass-keys";

macro_rules! shipped {
    ($($path:literal),+ $(,)?) => {
        vec![$(Source::Shipped {
            name: concat!("<shipped>/", $path),
            text: include_str!(concat!("../", $path)),
        }),+]
    };
}

/// Shipped specs that belong together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Group {
    /// Runloop's API keys, restricted keys and secrets.
    Runloop,
    /// RunTools' API keys.
    RunTools,
    /// Runtype's API keys.
    Runtype,
    /// What the embedded backend has beyond these APIs. No service has it, so these tools go to the embedded backend alone.
    Management,
}

impl Group {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Runloop, Self::RunTools, Self::Runtype, Self::Management];

    /// As settings write it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Runloop => "runloop",
            Self::RunTools => "runtools",
            Self::Runtype => "runtype",
            Self::Management => "management",
        }
    }

    fn specs(self) -> Vec<Source> {
        match self {
            Self::Runloop => shipped![
                "capabilities/runloop-api-keys.yaml",
                "capabilities/runloop-restricted-keys.yaml",
                "capabilities/runloop-secrets.yaml",
            ],
            Self::RunTools => shipped!["capabilities/runtools-api-keys.yaml"],
            Self::Runtype => shipped!["capabilities/runtype-api-keys.yaml"],
            Self::Management => shipped!["capabilities/keyglass-keys.yaml"],
        }
    }
}

/// Which groups are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Selection {
    /// This one.
    One(Group),
    /// All that can be served.
    All,
}

impl FromStr for Selection {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "all" {
            return Ok(Self::All);
        }
        if let Some(group) = Group::ALL.into_iter().find(|group| group.name() == text) {
            return Ok(Self::One(group));
        }
        let names: Vec<&str> = Group::ALL.iter().map(|group| group.name()).chain(["all"]).collect();
        let near = nearest(text, names.iter().copied());
        let near = near.map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
        Err(format!("`{text}` is no group of tools; expected `{}`{near}", names.join("`, `")))
    }
}

/// The groups of these selections, each once; Runloop's where none is made. `management` says whether the group of that
/// name can be served: `all` is without it where it cannot. Error: it was asked for by name.
pub fn groups(selections: &[Selection], management: bool) -> Result<Vec<Group>, String> {
    let named = |group| selections.contains(&Selection::One(group));
    if named(Group::Management) && !management {
        return Err(format!(
            "the tools of `management` work with the embedded backend alone, and `--backend` sends them elsewhere; give \
             `--backend {MANAGEMENT_NAMESPACE}=embedded` as well, or leave the group out"
        ));
    }
    let is_asked_for = |group: &Group| match group {
        Group::Runloop if selections.is_empty() => true,
        Group::Management => management && (named(*group) || selections.contains(&Selection::All)),
        group => named(*group) || selections.contains(&Selection::All),
    };
    Ok(Group::ALL.into_iter().filter(is_asked_for).collect())
}

/// The capability specs of these groups.
pub fn specs(groups: &[Group]) -> Vec<Source> {
    groups.iter().flat_map(|group| group.specs()).collect()
}

/// The group that the shipped spec of this name belongs to.
pub fn group_of(name: &str) -> Option<Group> {
    let has = |group: &Group| group.specs().iter().any(|spec| spec.shipped_name() == Some(name));
    Group::ALL.into_iter().find(has)
}

/// Arguments of shipped tools that the audit log tells in clear where the operator says nothing: what things are called, and
/// what a new key may do.
pub const AUDIT_CLEAR: [&str; 11] = [
    "*.id",
    "create_api_key.name",
    "create_restricted_key.name",
    "create_restricted_key.scopes.*.access_level",
    "create_restricted_key.scopes.*.resource_type",
    "create_secret.name",
    "get_secret.name",
    "update_secret.name",
    "delete_secret.name",
    "set_secret_expiry.name",
    "*.permissions.*",
];

/// The shipped JSON Schemas that the specs refer to.
pub fn schemas() -> Vec<Source> {
    shipped![
        "schemas/runloop-api-keys.json",
        "schemas/runloop-restricted-keys.json",
        "schemas/runloop-secrets.json",
        "schemas/runtools-api-keys.json",
        "schemas/runtype-api-keys.json",
        "schemas/keyglass-keys.json",
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_are_selected_by_name_and_each_once() {
        let selected = |texts: &[&str], management| {
            let selections: Vec<Selection> = texts.iter().map(|text| text.parse().expect(text)).collect();
            groups(&selections, management).map(|groups| groups.into_iter().map(Group::name).collect::<Vec<_>>())
        };
        assert_eq!(selected(&[], true).unwrap(), ["runloop"]);
        assert_eq!(selected(&["runtype", "runtools", "runtype"], true).unwrap(), ["runtools", "runtype"]);
        assert_eq!(selected(&["all"], true).unwrap(), ["runloop", "runtools", "runtype", "management"]);
        assert_eq!(selected(&["all"], false).unwrap(), ["runloop", "runtools", "runtype"]);
        assert_eq!(selected(&["management"], true).unwrap(), ["management"]);
        assert!(selected(&["management"], false).unwrap_err().contains("`--backend keyglass-keys=embedded`"));
        let error = "runtool".parse::<Selection>().unwrap_err();
        assert!(error.contains("did you mean `runtools`?") && error.contains("`management`, `all`"), "{error}");
    }
}
