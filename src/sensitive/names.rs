//! Names of members and arguments whose values are secret. A reviewed list: a name that is missing here shows a secret, one
//! too many hides what a model needs.

use std::sync::LazyLock;

use aho_corasick::{AhoCorasick, AhoCorasickKind};

use crate::catalog::names::snake_case;

/// What every name in the lists below holds. Most names hold none of it, and need no closer look.
const PARTS: [&str; 17] = [
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
];

/// Last words of a name, all of them together, whose value is a secret whatever stands before them.
const ENDS: [&str; 45] = [
    "access_key",
    "account_key",
    "api_key",
    "apikey",
    "auth_key",
    "authkey",
    "authorization",
    "backup_codes",
    "bearer",
    "connection_string",
    "cookie",
    "credential",
    "cvc",
    "cvv",
    "dsn",
    "encryption_key",
    "jwt",
    "key_secret",
    "key_value",
    "master_key",
    "one_time_code",
    "otp",
    "passcode",
    "passphrase",
    "passwd",
    "password",
    "password_hash",
    "passwords",
    "pin",
    "plain_key",
    "plaintext_key",
    "private_key",
    "private_keys",
    "privatekey",
    "pwd",
    "raw_key",
    "recovery_code",
    "recovery_codes",
    "secret",
    "secret_key",
    "secretkey",
    "session_key",
    "signing_key",
    "token",
    "tunnel_key",
];

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
    let ends = |last: &&str| {
        let before = name.strip_suffix(*last);
        before.is_some_and(|before| before.is_empty() || before.ends_with('_'))
    };
    !TELLING.iter().any(|first| name.starts_with(first)) && ENDS.iter().any(&ends) && !PLAIN.iter().any(ends)
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
        ] {
            assert!(!names_secret_value(name), "{name}");
        }
    }

    #[test]
    fn the_lists_are_found_by_their_parts() {
        for name in ENDS.iter().chain(&PLAIN) {
            assert!(PARTS.iter().any(|part| name.contains(part)), "{name}");
        }
        assert!(ENDS.is_sorted() && PLAIN.is_sorted());
        assert!(PLAIN.iter().all(|name| ENDS.iter().any(|last| name.ends_with(last))));
    }
}
