//! The shipped tools, each with arguments that it takes and an answer that fits.

use serde_json::{Value, json};

/// The specs that hold them.
pub(super) const SPECS: [&str; 6] = [
    "keyglass-keys.yaml",
    "runloop-api-keys.yaml",
    "runloop-restricted-keys.yaml",
    "runloop-secrets.yaml",
    "runtools-api-keys.yaml",
    "runtype-api-keys.yaml",
];

/// All of them: name, arguments, answer. `{{first}}` and `{{second}}` stand for secrets that were made before.
pub(super) fn tools() -> Vec<(&'static str, Value, Value)> {
    let secret = json!({"id": "sec_1", "name": "A", "create_time_ms": 1, "update_time_ms": 2, "note": "{{body}}"});
    let secrets = json!({"secrets": [secret], "has_more": false, "total_count": 1});
    let expiring = {
        let mut expiring = secret.clone();
        expiring["expires_at_ms"] = Value::Null;
        expiring
    };
    let key = json!({
        "id": "key_1", "provider": "runloop", "kind": "standard", "name": "{{sent}}", "state": "active", "scopes": null,
        "create_time_ms": 1, "expires_at_ms": null, "revoked_at_ms": null, "last_used_at_ms": null, "replaced_by": null,
    });
    let of_runtools = json!({"data": {"id": "k1", "name": "a", "keyPrefix": "rt_"}, "meta": {"requestId": "r"}});
    let of_runtype = json!({"apiKey": {"id": "k1", "name": "a", "maskedKey": "rt…"}});
    let with = |base: &Value, at: &str, name: &str, value: &str| {
        let mut made = base.clone();
        made.pointer_mut(at).unwrap()[name] = json!(value);
        made
    };
    let made = |what: &str| json!({"id": "key_2", "name": "a", "key_secret": format!("{{{{made by {what}}}}}"), "expires_at_ms": null});
    let id = json!({"id": "k1"});
    vec![
        ("create_api_key", json!({"name": "a"}), made("create_api_key")),
        ("create_restricted_key", json!({"name": "a", "scopes": []}), made("create_restricted_key")),
        ("create_secret", json!({"name": "A", "value": "{{first}}"}), secret.clone()),
        ("list_secrets", json!({}), secrets.clone()),
        ("get_secret", json!({"name": "A"}), secret.clone()),
        ("update_secret", json!({"name": "A", "value": "{{second}}"}), secret.clone()),
        ("delete_secret", json!({"name": "A"}), secret),
        (
            "runtools_create_api_key",
            json!({"name": "a", "scopes": ["*"]}),
            with(&of_runtools, "/data", "key", "{{made by runtools}}"),
        ),
        ("runtools_list_api_keys", json!({}), json!({"data": [of_runtools["data"]], "meta": {"hasMore": false}})),
        ("runtools_get_api_key", id.clone(), of_runtools.clone()),
        ("runtools_change_api_key", json!({"id": "k1", "name": "b"}), of_runtools.clone()),
        ("runtools_revoke_api_key", id.clone(), of_runtools),
        ("runtype_list_api_key_options", json!({}), json!({"permissionGroups": [], "rateLimits": null})),
        ("runtype_create_api_key", json!({"name": "a"}), with(&of_runtype, "", "plainKey", "{{made by runtype}}")),
        ("runtype_list_api_keys", json!({}), json!({"apiKeys": [of_runtype["apiKey"]], "total": 1})),
        ("runtype_get_api_key", id.clone(), of_runtype.clone()),
        ("runtype_change_api_key", json!({"id": "k1", "name": "b"}), of_runtype.clone()),
        ("runtype_regenerate_api_key", id.clone(), with(&of_runtype, "", "plainKey", "{{made again by runtype}}")),
        ("runtype_revoke_api_key", id.clone(), of_runtype),
        ("list_keys", json!({}), json!({"keys": [key], "has_more": false, "total_count": 1})),
        ("get_key", id.clone(), key.clone()),
        ("revoke_key", id.clone(), key.clone()),
        ("rotate_key", id, json!({"key": key, "key_secret": "{{made by rotate_key}}", "replaced": key})),
        ("list_expiring_secrets", json!({}), json!({"secrets": [expiring], "has_more": false, "total_count": 1})),
        ("set_secret_expiry", json!({"name": "A", "expires_at_ms": null}), expiring),
    ]
}
