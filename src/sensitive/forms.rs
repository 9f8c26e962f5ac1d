//! Texts that have the form of a secret wherever they stand: keys of known services, private keys, tokens, addresses that
//! whoever has them may use. A reviewed list of forms that their services have published; each begins so that ordinary text
//! does not.

use std::{ops::Range, sync::LazyLock};

use regex::Regex;

/// Forms that are a secret as a whole. What stands before one is no letter and no digit.
const WHOLE: [&str; 20] = [
    // RFC 7468, section 10 and 11, and what other programs write in its manner.
    r"(?s:-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY-----.*?(?:-----END [A-Z0-9 ]{0,40}PRIVATE KEY-----|\z))",
    r"ak_[0-9A-Za-z]{32,}",
    r"rk_[0-9A-Za-z]{32,}",
    r"rt_(?:live|test)_[0-9A-Za-z]{16,}",
    r"gh[pousr]_[0-9A-Za-z]{36,}",
    r"github_pat_[0-9A-Za-z_]{50,}",
    r"glpat-[0-9A-Za-z_-]{20,}",
    r"xox[abeoprs]-[0-9A-Za-z-]{10,}",
    r"sk-[0-9A-Za-z_-]{20,}",
    r"[sr]k_(?:live|test)_[0-9A-Za-z]{16,}",
    r"whsec_[0-9A-Za-z+/=]{24,}",
    r"AIza[0-9A-Za-z_-]{35}",
    r"ya29\.[0-9A-Za-z_-]{20,}",
    r"npm_[0-9A-Za-z]{36}",
    r"pypi-[0-9A-Za-z_-]{50,}",
    r"dckr_pat_[0-9A-Za-z_-]{20,}",
    r"hf_[0-9A-Za-z]{30,}",
    r"SG\.[0-9A-Za-z_-]{16,}\.[0-9A-Za-z_-]{16,}|hvs\.[0-9A-Za-z_-]{20,}",
    r"do[opr]_v1_[0-9a-f]{64}",
    // JSON Web Signature, compact serialization (RFC 7515, section 7.1): both parts before the signature are JSON objects.
    r"eyJ[0-9A-Za-z_-]{8,}\.eyJ[0-9A-Za-z_-]{8,}\.[0-9A-Za-z_-]{8,}",
];

/// Forms of addresses, of which the group `secret` is one: a password (RFC 3986, section 3.2.1), and parts of a query that alone
/// let in whoever has them.
const IN_ADDRESS: [&str; 2] = [
    r"[A-Za-z][A-Za-z0-9+.-]{1,30}://[^\s/?#:@]{0,256}:(?<password>[^\s/?#@]{1,256})@",
    r"[?&](?:X-Amz-Signature|X-Amz-Security-Token|X-Goog-Signature|Signature|sig|access_token|api_key|auth_token|token)=(?<signature>[^&\s#\x22'<>]{8,})",
];

/// Where secrets of a known form stand in a text, in order, none within another.
pub fn secrets_in(text: &str) -> impl Iterator<Item = Range<usize>> + use<> {
    // Without a test of what stands before, each form begins with letters that are looked for all at once.
    static WHOLE_FORMS: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(&WHOLE.join("|")).ok());
    static ADDRESS_FORMS: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(&IN_ADDRESS.join("|")).ok());
    let mut found: Vec<Range<usize>> = Vec::new();
    if let Some(search) = &*WHOLE_FORMS {
        let mut from = 0;
        while let Some(form) = search.find_at(text, from) {
            let follows_word = text.get(..form.start()).and_then(|before| before.chars().next_back());
            let begins = text.get(form.start()..).and_then(|form| form.chars().next());
            if follows_word.is_some_and(is_of_word) && begins.is_some_and(is_of_word) {
                // Another may begin within it.
                from = form.start() + 1;
            } else {
                found.push(form.range());
                from = form.end();
            }
        }
    }
    if (text.contains("://") || text.contains(['?', '&']))
        && let Some(search) = &*ADDRESS_FORMS
    {
        let parts = search
            .captures_iter(text)
            .filter_map(|form| form.name("password").or_else(|| form.name("signature")).map(|part| part.range()));
        found.extend(parts);
        found.sort_by_key(|range| (range.start, std::cmp::Reverse(range.end)));
        let mut end = 0;
        found.retain(|range| {
            let is_after = range.start >= end;
            end = end.max(range.end);
            is_after
        });
    }
    found.into_iter()
}

fn is_of_word(character: char) -> bool {
    character.is_alphanumeric() || character == '_'
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Vec<&str> {
        secrets_in(text).filter_map(|range| text.get(range)).collect()
    }

    #[test]
    fn known_forms_are_found_in_texts() {
        let letters = "aB3dE6gH9jK2mN5pQ8sT1vW4yZ7bC0eF3hJ6kL9nP2rS5uV8xY";
        let of = |prefix: &str| format!("{prefix}{letters}{letters}");
        for prefix in [
            "ak_",
            "rk_",
            "rt_live_",
            "ghp_",
            "github_pat_",
            "glpat-",
            "xoxb-",
            "sk-proj-",
            "sk_live_",
            "whsec_",
            "hf_",
        ] {
            let secret = of(prefix);
            assert_eq!(found(&format!("the key is {secret}, keep it")), [secret.as_str()], "{prefix}");
            assert!(found(&format!("x{secret}")).is_empty(), "{prefix} within a word");
        }
        let pem = "-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n-----END OPENSSH PRIVATE KEY-----";
        assert_eq!(found(&format!("a\n{pem}\nb")), [pem]);
        assert_eq!(found("postgres://app:hunter22@db.test/x and http://a.test/b?c=1"), ["hunter22"]);
        let signed = "https://b.test/o?X-Amz-Date=1&X-Amz-Signature=0123456789abcdef&x=1";
        assert_eq!(found(signed), ["0123456789abcdef"]);
        let token = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJlLWhlcmU";
        assert_eq!(found(&format!("Bearer {token}")), [token]);
        for plain in [
            "ak_1",
            "break_points_of_a_long_name",
            "task_0123456789abcdefghijklmnopqrstuvwxyz",
            "sk-learn",
            "see ?token=abc",
            "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----",
            "https://a.test:8080/x@y",
            "eyJ",
            "mailto:a@b.test",
            "secret://123456789ABCDEFGHJKLMN",
            "10:30@noon",
        ] {
            assert!(found(plain).is_empty(), "{plain}");
        }
    }
}
