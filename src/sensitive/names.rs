//! Names of members and arguments whose values are secret. A reviewed list: a name that is missing here shows a secret, one
//! too many hides what a model needs.
//!
//! What is left out on purpose: `secrets` and `tokens`, which are lists of names and the words of a text more often than
//! values; `primary_key`, a column; `session_id`, by which calls of a session are found.

use std::sync::LazyLock;

use aho_corasick::{AhoCorasick, AhoCorasickKind};

use crate::catalog::names::snake_case;

/// What every name in the lists below holds. Most names hold none of it, and need no closer look.
const PARTS: [&str; 19] = [
    "secret",
    "token",
    "pass",
    "pwd",
    "key",
    "cred",
    "auth",
    "pin",
    "otp",
    "cvv",
    "cvc",
    "cookie",
    "jwt",
    "connection",
    "dsn",
    "code",
    "bearer",
    "phrase",
    "mnemonic",
];

/// Last words of a name, all of them together, whose value is a secret whatever stands before them.
const ENDS: [&str; 80] = [
    "access_key",
    "access_tokens",
    "account_key",
    "admin_pass",
    "api_key",
    "api_keys",
    "api_tokens",
    "apikey",
    "auth_key",
    "auth_tokens",
    "authkey",
    "authorization",
    "backup_codes",
    "bearer",
    "client_key_data",
    "connection_string",
    "cookie",
    "cookies",
    "credential",
    "credentials",
    "cvc",
    "cvv",
    "db_pass",
    "dsn",
    "encryption_key",
    "ftp_pass",
    "jwt",
    "key_material",
    "key_secret",
    "key_value",
    "mail_pass",
    "master_key",
    "mnemonic",
    "one_time_code",
    "otp",
    "pass_word",
    "passcode",
    "passphrase",
    "passwd",
    "password",
    "password_again",
    "password_base64",
    "password_confirm",
    "password_confirmation",
    "password_hash",
    "password_repeat",
    "passwords",
    "pin",
    "plain_key",
    "plaintext_key",
    "pre_shared_key",
    "private_key",
    "private_key_data",
    "private_key_pem",
    "private_keys",
    "privatekey",
    "pwd",
    "raw_key",
    "recovery_code",
    "recovery_codes",
    "recovery_phrase",
    "refresh_tokens",
    "root_pass",
    "secret",
    "secret_b64",
    "secret_base64",
    "secret_key",
    "secret_string",
    "secret_text",
    "secret_value",
    "secretkey",
    "seed_phrase",
    "session_key",
    "shared_key",
    "signing_key",
    "smtp_pass",
    "token",
    "token_value",
    "tunnel_key",
    "user_pass",
];

/// Whole names: longer ones that end so are something else, as `boarding_pass` and `tests_pass`.
const ALONE: [&str; 1] = ["pass"];

/// Last words of names of secrets under which a number counts or names something: `max_tokens`, the `credential` 4.
const COUNTED: [&str; 6] = ["authorization", "bearer", "cookie", "credential", "key_value", "token"];

/// Names that end so and are no secret: where a list goes on, what makes a request repeatable, pieces of text.
const PLAIN: [&str; 29] = [
    "after_token",
    "before_token",
    "bos_token",
    "cancel_token",
    "change_token",
    "client_request_token",
    "client_token",
    "cls_token",
    "continuation_token",
    "cursor_token",
    "end_token",
    "eos_token",
    "idempotency_token",
    "list_token",
    "mask_token",
    "next_token",
    "pad_token",
    "page_token",
    "pagination_token",
    "prev_token",
    "previous_token",
    "resume_token",
    "sep_token",
    "skip_token",
    "start_token",
    "starting_token",
    "stop_token",
    "sync_token",
    "unk_token",
];

/// Beginnings of names that tell whether there is a secret.
const TELLING: [&str; 8] = ["allow_", "enable_", "has_", "is_", "needs_", "requires_", "show_", "uses_"];

/// Whether a member or an argument of this name holds a secret, however its words are joined.
pub fn names_secret_value(name: &str) -> bool {
    static SEARCH: LazyLock<Option<AhoCorasick>> = LazyLock::new(|| {
        let mut builder = AhoCorasick::builder();
        builder.ascii_case_insensitive(true).kind(Some(AhoCorasickKind::DFA)).build(PARTS).ok()
    });
    if SEARCH.as_ref().is_some_and(|search| !search.is_match(name)) {
        return false;
    }
    let name = snake_case(name);
    let is_listed = |name: &str| {
        (ENDS.iter().any(|last| ends(name, last)) || ALONE.contains(&name))
            && !PLAIN.iter().any(|last| ends(name, last))
    };
    !TELLING.iter().any(|first| name.starts_with(first)) && (is_listed(&name) || is_listed(numberless(&name)))
}

/// Whether a number under this name, which is one of a secret, is that secret: not where it counts.
pub(crate) fn names_number(name: &str) -> bool {
    let name = snake_case(name);
    let name = numberless(&name);
    let is_count = name.ends_with('s') && !name.ends_with("codes") && !name.ends_with("pass");
    !is_count && !COUNTED.iter().any(|last| ends(name, last))
}

/// A name without the number of one of several: `password2`, `password_1`. Pins of devices are numbered too.
fn numberless(name: &str) -> &str {
    let first = name.trim_end_matches(|one: char| one.is_ascii_digit()).trim_end_matches('_');
    if ends(first, "pin") { name } else { first }
}

/// Whether the last words of a name are these.
fn ends(name: &str, last: &str) -> bool {
    name.strip_suffix(last).is_some_and(|before| before.is_empty() || before.ends_with('_'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell_what_is_secret() {
        for name in [
            "password",
            "Password",
            "db_password",
            "dbPassword",
            "userPwd",
            "client_secret",
            "clientSecret",
            "key_secret",
            "plainKey",
            "api-key",
            "apiKey",
            "X-API-Key",
            "access_token",
            "refreshToken",
            "token",
            "auth_token",
            "ssh_private_key",
            "SecretAccessKey",
            "tunnel_key",
            "connectionString",
            "recovery_codes",
            "session.cookie",
            "Authorization",
            "passphrase",
            "webhook_secret",
            "otp",
            "pin",
            "licenseSigningKey",
            "github_auth_token",
            "SecretString",
            "secret_value",
            "secretText",
            "api_keys",
            "credentials",
            "pass",
            "DB_PASS",
            "password2",
            "password_1",
            "password_confirmation",
            "dbPassWord",
            "private_key_pem",
            "client-key-data",
            "shared_key",
            "KeyMaterial",
            "seed_phrase",
            "mnemonic",
            "cookies",
            "secret_b64",
        ] {
            assert!(names_secret_value(name), "{name}");
        }
        for name in [
            "name",
            "id",
            "key",
            "keys",
            "key_id",
            "access_key_id",
            "secret_name",
            "secret_id",
            "secrets",
            "required_secret_names",
            "next_token",
            "nextPageToken",
            "page_token",
            "continuation_token",
            "max_tokens",
            "tokens",
            "total_tokens",
            "token_type",
            "tokenEndpoint",
            "public_key",
            "password_required",
            "auth_mode",
            "author",
            "shipping",
            "pinned",
            "passed",
            "keyword",
            "key_prefix",
            "maskedKey",
            "secret_count",
            "compass",
            "authentication",
            "credentials_url",
            "cookie_policy",
            "code",
            "zip_code",
            "opinion",
            "token_count",
            "clientToken",
            "has_password",
            "boarding_pass",
            "proxy_pass",
            "pin1",
            "primary_key",
            "session_id",
            "phrase",
        ] {
            assert!(!names_secret_value(name), "{name}");
        }
    }

    #[test]
    fn numbers_are_secrets_unless_they_count() {
        for name in ["password", "otp", "pin", "cvv", "recovery_codes", "user_pass", "password_2"] {
            assert!(names_secret_value(name) && names_number(name), "{name}");
        }
        for name in ["token", "access_token", "api_keys", "credential", "credentials", "passwords"] {
            assert!(names_secret_value(name) && !names_number(name), "{name}");
        }
    }

    #[test]
    fn the_lists_are_found_by_their_parts() {
        for name in ENDS.iter().chain(&PLAIN).chain(&ALONE) {
            assert!(PARTS.iter().any(|part| name.contains(part)), "{name}");
        }
        assert!(ENDS.is_sorted() && PLAIN.is_sorted() && COUNTED.is_sorted());
        assert!(PLAIN.iter().all(|name| ENDS.iter().any(|last| name.ends_with(last))));
    }
}
