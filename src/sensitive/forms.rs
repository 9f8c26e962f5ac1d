//! Texts that have the form of a secret wherever they stand: keys of known services, private keys, tokens, addresses that
//! whoever has them may use. A reviewed list of forms that their services have published; each begins so that ordinary text
//! does not.

use std::{ops::Range, sync::LazyLock};

use regex::Regex;

/// A form, of which the group `secret` is the secret where it has one, and all of it otherwise. Whatever stands before it
/// is no letter and no digit.
const FORMS: [&str; 22] = [
    // RFC 7468, section 10 and 11, and what other programs write in its manner.
    r"(?s:-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY-----.*?(?:-----END [A-Z0-9 ]{0,40}PRIVATE KEY-----|\z))",
    r"\b[ar]k_[0-9A-Za-z]{32,}",
    r"\brt_(?:live|test)_[0-9A-Za-z]{16,}",
    r"\bgh[pousr]_[0-9A-Za-z]{36,}",
    r"\bgithub_pat_[0-9A-Za-z_]{50,}",
    r"\bglpat-[0-9A-Za-z_-]{20,}",
    r"\bxox[abeoprs]-[0-9A-Za-z-]{10,}",
    r"\bsk-[0-9A-Za-z_-]{20,}",
    r"\b[sr]k_(?:live|test)_[0-9A-Za-z]{16,}",
    r"\bwhsec_[0-9A-Za-z+/=]{24,}",
    r"\bAIza[0-9A-Za-z_-]{35}",
    r"\bya29\.[0-9A-Za-z_-]{20,}",
    r"\bnpm_[0-9A-Za-z]{36}",
    r"\bpypi-[0-9A-Za-z_-]{50,}",
    r"\bdckr_pat_[0-9A-Za-z_-]{20,}",
    r"\bhf_[0-9A-Za-z]{30,}",
    r"\bSG\.[0-9A-Za-z_-]{16,}\.[0-9A-Za-z_-]{16,}",
    r"\bhvs\.[0-9A-Za-z_-]{20,}",
    r"\bdo[opr]_v1_[0-9a-f]{64}",
    // JSON Web Signature, compact serialization (RFC 7515, section 7.1): both parts before the signature are JSON objects.
    r"\beyJ[0-9A-Za-z_-]{8,}\.eyJ[0-9A-Za-z_-]{8,}\.[0-9A-Za-z_-]{8,}",
    // A password in an address (RFC 3986, section 3.2.1).
    r"\b[A-Za-z][A-Za-z0-9+.-]{1,30}://[^\s/?#:@]{0,256}:(?<password>[^\s/?#@]{1,256})@",
    // Parts of an address's query that alone let in whoever has them.
    r"[?&](?:X-Amz-Signature|X-Amz-Security-Token|X-Goog-Signature|Signature|sig|access_token|api_key|auth_token|token)=(?<signature>[^&\s#\x22'<>]{8,})",
];

/// Where secrets of a known form stand in a text, in order.
pub fn secrets_in(text: &str) -> impl Iterator<Item = Range<usize>> {
    static SEARCH: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(&FORMS.join("|")).ok());
    let found = SEARCH.as_ref().into_iter().flat_map(move |search| search.captures_iter(text));
    found.filter_map(|found| {
        let part = found.name("password").or_else(|| found.name("signature"));
        part.or_else(|| found.get(0)).map(|part| part.range())
    })
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
