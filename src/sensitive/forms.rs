//! Texts that have the form of a secret wherever they stand: keys of known services, private keys, tokens, addresses that
//! whoever has them may use. A reviewed list of forms that their services have published; each begins so that ordinary text
//! does not.
//!
//! Texts of a backend are long and may be made to be slow to look through: each search below goes over a text once, whatever
//! it holds. That is why what may go on without end is in an expression of its own wherever more has to follow it.

use std::{ops::Range, sync::LazyLock};

use regex::Regex;

use super::pairs;

/// Forms whose beginnings no word has: it does not matter what stands before one.
const DISTINCT: [&str; 11] = [
    // RFC 7468, section 10 and 11, RFC 9580, section 6.2.1, and what other programs write in its manner.
    r"(?s:-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----.*?(?:-----END [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----|\z))",
    r"gh[pousr]_[0-9A-Za-z]{36,}",
    r"github_pat_[0-9A-Za-z_]{50,}",
    r"glpat-[0-9A-Za-z_-]{20,}",
    r"xox[abeoprs]-[0-9A-Za-z-]{10,}",
    r"sk-(?:proj|ant|svcacct|admin)-[0-9A-Za-z_-]{16,}",
    r"whsec_[0-9A-Za-z+/=]{24,}",
    r"npm_[0-9A-Za-z]{36}|pypi-[0-9A-Za-z_-]{50,}",
    r"dckr_pat_[0-9A-Za-z_-]{20,}",
    r"ya29\.[0-9A-Za-z_-]{20,}|hvs\.[0-9A-Za-z_-]{20,}",
    r"do[opr]_v1_[0-9a-f]{64}",
];

/// JSON Web Signature, compact serialization (RFC 7515, section 7.1): both parts before the signature are JSON objects.
const SIGNED: &str = r"eyJ[0-9A-Za-z_-]{8,}\.eyJ[0-9A-Za-z_-]{8,}\.[0-9A-Za-z_-]{8,}";

/// Forms that a longer word may end in: what stands before one is no part of a word. The second is the least of the
/// first's last character; more of them may follow.
const APART: [(&str, usize); 8] = [
    (r"ak_[0-9A-Za-z]", 32),
    (r"rk_[0-9A-Za-z]", 32),
    (r"rt_(?:live|test)_[0-9A-Za-z]", 16),
    (r"sk-[0-9A-Za-z_-]", 20),
    (r"[sr]k_(?:live|test)_[0-9A-Za-z]", 16),
    (r"AIza[0-9A-Za-z_-]", 35),
    (r"hf_[0-9A-Za-z]", 30),
    (r"SG\.[0-9A-Za-z_-]{16,64}\.[0-9A-Za-z_-]", 16),
];

/// Forms of addresses, of which a group is a secret: a password (RFC 3986, section 3.2.1), which many write as it is, a
/// name that is a token, a path that lets in whoever has it, and parts of a query that do.
const IN_ADDRESS: [&str; 4] = [
    // What follows a `://` is another address.
    r"(?<scheme>[A-Za-z][A-Za-z0-9+.-]{1,30})://[^\s/?#:@]*:(?:(?<password>(?:[^\s:\x22'<>]|:[^\s/:\x22'<>])+)|(?<strict>[^\s/?#@]+))@",
    r"https?://(?<user>[0-9A-Za-z_.~%-]{16,})@",
    r"(?:hooks\.slack\.com/(?:services|workflows|triggers)|discord(?:app)?\.com/api/webhooks)/(?<path>[0-9A-Za-z_/-]{20,})",
    r"[?&#](?i:X-Amz-Signature|X-Amz-Security-Token|X-Goog-Signature|Signature|sig|token|(?:access|id|refresh|auth)_token|api_?key|(?:client_)?secret|password|passwd|pwd)=(?<signature>[^&\s#\x22'<>]{8,})",
];

/// Schemes whose addresses are written as they ought to be: a `/` ends what stands before the host.
const STRICT: [&str; 8] = ["http", "https", "ws", "wss", "git", "ssh", "ftp", "sftp"];

/// Shorter texts hold no form, and no name with a value. So long is the shortest address with a password, `ab://:p@`.
const SHORTEST: usize = 8;
/// Shorter texts hold none without one of [`SIGNS`]: the one form that needs no sign has so many letters.
const SHORTEST_WITHOUT_SIGN: usize = 39;
/// Every other form, and every name with a value, has one of these.
const SIGNS: [u8; 5] = [b'_', b'-', b'.', b':', b'='];

/// Where secrets of a known form stand in a text, in order, none within another.
pub fn secrets_in(text: &str) -> impl Iterator<Item = Range<usize>> + use<> {
    // Without a test of what stands before, each form begins with letters that are looked for all at once.
    static DISTINCT_FORMS: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(&DISTINCT.join("|")).ok());
    static SIGNED_FORM: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(SIGNED).ok());
    static ADDRESS_FORMS: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(&IN_ADDRESS.join("|")).ok());
    let mut found: Vec<Range<usize>> = Vec::new();
    let has_sign = || text.bytes().any(|byte| SIGNS.contains(&byte));
    if text.len() < SHORTEST || text.len() < SHORTEST_WITHOUT_SIGN && !has_sign() {
        return found.into_iter();
    }
    for search in [&*DISTINCT_FORMS, &*SIGNED_FORM].into_iter().flatten() {
        found.extend(search.find_iter(text).map(|form| form.range()));
    }
    apart(text, &mut found);
    if (text.contains(['?', '&', '#']) || text.contains("://") || text.contains(".com/"))
        && let Some(search) = &*ADDRESS_FORMS
    {
        for form in search.captures_iter(text) {
            found.extend(match (form.name("scheme"), form.name("password")) {
                (Some(scheme), Some(password)) => {
                    let len = password_in(scheme.as_str(), password.as_str());
                    len.map(|len| password.start()..password.start() + len)
                }
                _ => ["strict", "user", "path", "signature"].into_iter().find_map(|group| {
                    let part = form.name(group)?;
                    (group != "user" || is_token(part.as_str())).then(|| part.range())
                }),
            });
        }
    }
    pairs::add(text, &mut found);
    if found.len() > 1 {
        found.sort_by_key(|range| (range.start, std::cmp::Reverse(range.end)));
        let mut joined: Vec<Range<usize>> = Vec::with_capacity(found.len());
        for range in found {
            match joined.last_mut() {
                Some(last) if range.start < last.end => last.end = last.end.max(range.end),
                _ => joined.push(range),
            }
        }
        found = joined;
    }
    found.into_iter()
}

/// Adds forms that stand apart from words. One that does not is passed over, and another may begin within it: that is why
/// the search is for the least of a form, and only one that counts is followed to its end.
fn apart(text: &str, found: &mut Vec<Range<usize>>) {
    static LEAST: LazyLock<Option<Regex>> = LazyLock::new(|| apart_forms(""));
    static WHOLE: LazyLock<Option<Regex>> = LazyLock::new(|| apart_forms(","));
    let (Some(least), Some(whole)) = (&*LEAST, &*WHOLE) else { return };
    let mut from = 0;
    while let Some(form) = least.find_at(text, from) {
        if text.get(..form.start()).is_some_and(is_end_of_word) {
            from = form.start() + 1;
        } else {
            let form = whole.find_at(text, form.start()).unwrap_or(form);
            from = form.end();
            found.push(form.range());
        }
    }
}

fn apart_forms(or_more: &str) -> Option<Regex> {
    let forms: Vec<String> = APART.iter().map(|(form, least)| format!("{form}{{{least}{or_more}}}")).collect();
    Regex::new(&forms.join("|")).ok()
}

/// Whether a text ends within a word. What is an escape of JSON, of addresses or of a terminal is none, though it ends with a
/// letter.
fn is_end_of_word(before: &str) -> bool {
    let is_hex = |bytes: &[u8]| bytes.iter().all(u8::is_ascii_hexdigit);
    // `[1;32m`, without the character before it that nobody sees.
    let is_colour = |bytes: &[u8]| {
        let other = bytes.iter().rev().take(12).find(|byte| !byte.is_ascii_digit() && **byte != b';');
        other.is_some_and(|byte| *byte == b'[')
    };
    match before.as_bytes() {
        [.., b'\\', b'n' | b'r' | b't' | b'b' | b'f'] => false,
        [.., b'%', one, other] if is_hex(&[*one, *other]) => false,
        [.., b'\\', b'u', one, two, three, four] if is_hex(&[*one, *two, *three, *four]) => false,
        [most @ .., b'm'] if is_colour(most) => false,
        _ => before.chars().next_back().is_some_and(char::is_alphanumeric),
    }
}

/// How long the password of an address is, of what stands up to the last `@`. None where it is a port and a path.
fn password_in(scheme: &str, rest: &str) -> Option<usize> {
    let Some(path) = rest.find(['/', '?', '#']) else { return Some(rest.len()) };
    let authority = rest.get(..path)?;
    if authority.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    if !STRICT.iter().any(|strict| scheme.eq_ignore_ascii_case(strict)) {
        return Some(rest.len());
    }
    authority.rfind('@')
}

/// Whether the name in an address is too long and mixed for one.
fn is_token(user: &str) -> bool {
    user.bytes().any(|byte| byte.is_ascii_digit()) && user.bytes().any(|byte| byte.is_ascii_alphabetic())
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
        }
        for prefix in ["ak_", "rk_", "rt_live_", "sk-", "sk_live_", "hf_"] {
            assert!(found(&format!("x{}", of(prefix))).is_empty(), "{prefix} within a word");
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
            "http://a.test:8080/users/x@y and http://a.test:80?to=a@b.test",
            "https://some-long-user-name@git.test/x",
            "a desk-0123456789abcdefghijklmnop",
        ] {
            assert!(found(plain).is_empty(), "{plain}");
        }
    }

    /// Each as short as it can be, and nothing beside it: what is passed over for its length or its letters is none of these.
    #[test]
    fn each_form_is_found_where_nothing_stands_beside_it() {
        let letters = |number: usize| "a1B2c3D4".repeat(number / 8 + 1).get(..number).unwrap().to_owned();
        let of = |prefix: &str, number| format!("{prefix}{}", letters(number));
        let texts = [
            "-----BEGIN PRIVATE KEY-----".to_owned(),
            of("ghp_", 36),
            of("github_pat_", 50),
            of("glpat-", 20),
            of("xoxb-", 10),
            of("sk-ant-", 16),
            of("whsec_", 24),
            of("npm_", 36),
            of("pypi-", 50),
            of("dckr_pat_", 20),
            of("ya29.", 20),
            of("hvs.", 20),
            format!("dop_v1_{}", "a1".repeat(32)),
            "eyJabcdefgh.eyJabcdefgh.abcdefgh".to_owned(),
            of("ak_", 32),
            of("rk_", 32),
            of("rt_live_", 16),
            of("sk-", 20),
            of("sk_live_", 16),
            of("AIza", 35),
            of("hf_", 30),
            format!("SG.{}.{}", letters(16), letters(16)),
            "ab://:p@".to_owned(),
            format!("http://{}@", letters(16)),
            of("hooks.slack.com/services/", 20),
            of("discord.com/api/webhooks/", 20),
            "?sig=abcdefgh".to_owned(),
            "pin=12345a".to_owned(),
        ];
        for text in &texts {
            assert!(!found(text).is_empty(), "{text}");
        }
        let apart = APART.map(|(form, least)| format!("{form}{{{least}}}"));
        for form in DISTINCT.iter().chain([&SIGNED]).chain(&IN_ADDRESS).copied().chain(apart.iter().map(String::as_str))
        {
            for alternative in form.split('|').filter(|_| !form.contains('(')).chain([form]) {
                let form = Regex::new(alternative).unwrap();
                assert!(texts.iter().any(|text| form.is_match(text)), "{alternative} has no text above");
            }
        }
    }

    #[test]
    fn what_stands_before_a_form_hides_none() {
        let letters = "aB3dE6gH9jK2mN5pQ8sT1vW4yZ7bC0eF3hJ6kL9nP2rS5uV8xY";
        for prefix in ["ghp_", "github_pat_", "glpat-", "xoxb-", "sk-proj-", "sk-", "pypi-", "dckr_pat_", "ak_", "hf_"]
        {
            let secret = format!("{prefix}{letters}");
            for before in ["[32m", "[1;31m", "\\n", "\\u000a", "%3D", "KEY_", "é-"] {
                assert_eq!(found(&format!("a{before}{secret} b")), [secret.as_str()], "{before}");
            }
        }
        let google = format!("AIza{}", letters.get(..35).unwrap());
        assert_eq!(found(&google), [google.as_str()]);
        assert_eq!(found(&format!("%3D{google}&b")), [google.as_str()]);
        let token = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJlLWhlcmU";
        assert_eq!(found(&format!("[32m{token}")), [token]);
        let pgp = "-----BEGIN PGP PRIVATE KEY BLOCK-----\n\nlQdG\n-----END PGP PRIVATE KEY BLOCK-----";
        assert_eq!(found(&format!("a\n{pgp}\nb")), [pgp]);
    }

    #[test]
    fn the_secret_part_of_an_address_is_found_whole() {
        for (text, expected) in [
            ("see postgres://user:p@ss/wordLEFT@db.test/x now", &["p@ss/wordLEFT"][..]),
            ("'postgres://u:one-1@a/x,postgres://v:two-2@b/y'", &["one-1", "two-2"]),
            ("http://a.test:80/x,postgres://u:hunter22@db", &["hunter22"]),
            ("https://u:p@ss@b.test/@scope/a@1.2", &["p@ss"]),
            ("https://x.test/cb#access_token=FragTok1234567", &["FragTok1234567"]),
            ("otpauth://totp/a?secret=JBSWY3DPEHPK3PXP&issuer=a", &["JBSWY3DPEHPK3PXP"]),
            ("https://x.test/?password=UrlPw-1234567", &["UrlPw-1234567"]),
            ("https://OpaqueUserTok123@git.test/x", &["OpaqueUserTok123"]),
            ("https://hooks.slack.com/services/T000/B000/abcdefghijklmnop", &["T000/B000/abcdefghijklmnop"]),
            ("https://discord.com/api/webhooks/1234/abcdefghijklmnop", &["1234/abcdefghijklmnop"]),
        ] {
            assert_eq!(found(text), expected, "{text}");
        }
    }

    /// Each of these takes minutes where what was passed over is looked at again and again.
    #[test]
    fn a_long_text_is_gone_through_once() {
        for part in [
            "ask-",
            "ask-ask_",
            "eyJask-aaaaaaaaaaaaaaaaaaaaaaaa",
            "-eyJ-ghp_0123456789abcdefghijklmnopqrstuvwxyz",
            "eyJ0.",
            "xSG.aaaaaaaaaaaaaaaa",
            "ab://c:",
            "://u:p@",
            "password=",
            "a:",
            "\"key\\\":",
            "-----BEGIN ",
            "?token=&",
            "secret: '",
            "x=y&password=",
        ] {
            let text = part.repeat(256 * 1024 / part.len());
            assert!(secrets_in(&text).count() <= text.len());
        }
    }
}
