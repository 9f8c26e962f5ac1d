//! Keys, digests and sealing: everything that touches key material.
//!
//! Knows nothing of files, tables or HTTP. Which key is used for what is told by `keyring`.

use std::fmt;

use chacha20poly1305::{
    KeyInit as _, XChaCha20Poly1305, XNonce,
    aead::{Aead as _, Payload},
};
use hmac::{Hmac, Mac as _};
use secrecy::SecretString;
use sha2::Sha256;
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

/// Bytes of a digest: HMAC-SHA256.
pub(super) const DIGEST_BYTES: usize = 32;

/// First byte of everything sealed here. Another layout or cipher gets another number.
const VERSION: u8 = 1;
const KEY_ID_BYTES: usize = 4;
const NONCE_BYTES: usize = 24;
/// Characters of a key after its prefix: 43 of 62 kinds hold 256 bits.
pub(super) const KEY_CHARACTERS: usize = 43;
const BASE_62: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// Why sealing, unsealing or drawing random bytes failed. Holds neither key nor text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum CryptoError {
    /// The machine gives no random bytes.
    #[error("the operating system gives no random bytes")]
    Random,
    /// The text to be sealed is longer than the cipher takes.
    #[error("the text cannot be sealed")]
    Seal,
    /// Not sealed by this master key, sealed for another place, or damaged.
    #[error("the sealed text does not open: another master key, another place, or damage")]
    Unseal,
}

/// The 32 bytes from which all keys are derived.
pub(super) struct MasterKey(Zeroizing<[u8; 32]>);

impl MasterKey {
    /// Draws a new one.
    pub(super) fn generate() -> Result<Self, CryptoError> {
        let mut key = Zeroizing::new([0; 32]);
        getrandom::fill(key.as_mut()).map_err(|_| CryptoError::Random)?;
        Ok(Self(key))
    }

    /// Reads the form that [`to_hex`](Self::to_hex) writes: 64 hexadecimal digits, white space around them ignored.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let digits = text.trim().as_bytes();
        let mut key = Zeroizing::new([0; 32]);
        if digits.len() != key.len() * 2 {
            return None;
        }
        for (byte, pair) in key.iter_mut().zip(digits.chunks_exact(2)) {
            for digit in pair {
                let value = char::from(*digit).to_digit(16).and_then(|value| u8::try_from(value).ok())?;
                *byte = (*byte << 4) | value;
            }
        }
        Some(Self(key))
    }

    /// 64 lower-case hexadecimal digits.
    pub(super) fn to_hex(&self) -> SecretString {
        let digits = self.0.iter().flat_map(|byte| [byte >> 4, byte & 15]);
        SecretString::from(digits.filter_map(|digit| char::from_digit(digit.into(), 16)).collect::<String>())
    }
}

impl MasterKey {
    /// A name for it, 8 hexadecimal digits that tell nothing of the key.
    pub(super) fn name(&self) -> String {
        format!("{:08x}", u32::from_be_bytes(self.derive(b"keyglass key id 1").id))
    }

    /// The key of this purpose, made from the master key. Its id is the master key's.
    pub(super) fn derive(&self, label: &[u8]) -> Key {
        let named = Zeroizing::new(hmac(&self.0, |hmac| hmac.update(b"keyglass key id 1")));
        let mut id = KeyId::default();
        id.iter_mut().zip(named.iter()).for_each(|(to, from)| *to = *from);
        Key { id, bytes: Zeroizing::new(hmac(&self.0, |hmac| hmac.update(label))) }
    }
}

impl fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MasterKey([redacted])")
    }
}

/// A name for a key: what is sealed carries that of its key.
pub(super) type KeyId = [u8; KEY_ID_BYTES];

/// One key for one purpose, with its id.
#[derive(Clone)]
pub(super) struct Key {
    id: KeyId,
    bytes: Zeroizing<[u8; 32]>,
}

impl Key {
    /// A key of these bytes.
    pub(super) fn new(id: KeyId, bytes: Zeroizing<[u8; 32]>) -> Self {
        Self { id, bytes }
    }

    /// A key with a random id.
    pub(super) fn generate() -> Result<Self, CryptoError> {
        let (mut id, mut bytes) = (KeyId::default(), Zeroizing::new([0; 32]));
        getrandom::fill(&mut id).and_then(|()| getrandom::fill(bytes.as_mut())).map_err(|_| CryptoError::Random)?;
        Ok(Self { id, bytes })
    }

    /// What what it seals is known by.
    pub(super) fn id(&self) -> KeyId {
        self.id
    }

    /// The key itself, to be sealed by another.
    pub(super) fn bytes(&self) -> &[u8; 32] {
        &self.bytes
    }

    /// A key for another purpose, made from this one with HMAC-SHA256. A fault in the use of one says nothing about the
    /// others.
    pub(super) fn derive(&self, label: &[u8]) -> Self {
        Self { id: self.id, bytes: Zeroizing::new(hmac(&self.bytes, |hmac| hmac.update(label))) }
    }

    /// A keyed digest of these parts. Digests of different purposes, or of differently cut parts, never coincide.
    pub(super) fn digest(&self, purpose: &str, parts: &[&[u8]]) -> [u8; DIGEST_BYTES] {
        // piece by piece: a part may be a body with a secret in it, and joining them would leave a copy in memory
        let pieces = std::iter::once(purpose.as_bytes()).chain(parts.iter().copied());
        hmac(&self.bytes, |hmac| {
            for piece in pieces {
                hmac.update(&length(piece.len()));
                hmac.update(piece);
            }
        })
    }

    /// The same of parts that were put together before. They are no secret.
    pub(super) fn digest_of(&self, purpose: &str, parts: &Parts) -> [u8; DIGEST_BYTES] {
        hmac(&self.bytes, |hmac| {
            hmac.update(&length(purpose.len()));
            hmac.update(purpose.as_bytes());
            hmac.update(&parts.0);
        })
    }

    /// Seals a text for one place: version, key id, random nonce, XChaCha20-Poly1305 ciphertext.
    pub(super) fn seal(&self, text: &[u8], place: &[&str]) -> Result<Vec<u8>, CryptoError> {
        // 192 bits of nonce: random ones never meet, so no counter has to be kept over restarts and processes
        let mut nonce = [0; NONCE_BYTES];
        getrandom::fill(&mut nonce).map_err(|_| CryptoError::Random)?;
        let header = self.header();
        let aad = associated_data(&header, place);
        let ciphertext = XChaCha20Poly1305::new((&*self.bytes).into())
            .encrypt(XNonce::from(nonce).as_ref(), Payload { msg: text, aad: &aad })
            .map_err(|_| CryptoError::Seal)?;
        Ok([header.as_slice(), nonce.as_slice(), ciphertext.as_slice()].concat())
    }

    /// Opens what [`seal`](Self::seal) made for the same place.
    pub(super) fn unseal(&self, sealed: &[u8], place: &[&str]) -> Result<Zeroizing<Vec<u8>>, CryptoError> {
        let header = self.header();
        let (nonce, ciphertext) = sealed
            .strip_prefix(header.as_slice())
            .and_then(|rest| rest.split_first_chunk::<NONCE_BYTES>())
            .ok_or(CryptoError::Unseal)?;
        let aad = associated_data(&header, place);
        XChaCha20Poly1305::new((&*self.bytes).into())
            .decrypt(XNonce::from(*nonce).as_ref(), Payload { msg: ciphertext, aad: &aad })
            .map(Zeroizing::new)
            .map_err(|_| CryptoError::Unseal)
    }

    fn header(&self) -> Vec<u8> {
        [[VERSION].as_slice(), self.id.as_slice()].concat()
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key([redacted])")
    }
}

/// The id of the key that a sealed text was sealed with.
pub(super) fn sealed_with(sealed: &[u8]) -> Option<KeyId> {
    sealed.strip_prefix(&[VERSION])?.first_chunk().copied()
}

/// A new API key: the prefix, `_`, so many random characters.
pub(super) fn new_key(prefix: &str, characters: usize) -> Result<SecretString, CryptoError> {
    let mut key = Zeroizing::new(String::with_capacity(prefix.len() + 1 + characters));
    key.push_str(prefix);
    key.push('_');
    let full = key.len() + characters;
    let mut random = Zeroizing::new([0; 64]);
    while key.len() < full {
        getrandom::fill(random.as_mut()).map_err(|_| CryptoError::Random)?;
        // 248 is the largest multiple of 62 in a byte: taking the rest of larger ones would favour the first characters
        let fair = random.iter().filter(|byte| **byte < 248).filter_map(|byte| BASE_62.get(usize::from(byte % 62)));
        fair.take(full - key.len()).for_each(|character| key.push(char::from(*character)));
    }
    Ok(SecretString::from(key.as_str()))
}

/// Whether this text has the form of a key that [`new_key`] made with this prefix and so many characters.
pub(super) fn is_key(prefix: &str, characters: usize, text: &str) -> bool {
    text.strip_prefix(prefix)
        .and_then(|rest| rest.strip_prefix('_'))
        .is_some_and(|rest| rest.len() == characters && rest.bytes().all(|character| character.is_ascii_alphanumeric()))
}

/// A number as base-62 digits, the most significant first; as many as there is room for.
pub(super) fn base_62<const DIGITS: usize>(mut number: u128) -> String {
    let mut digits = [b'0'; DIGITS];
    for digit in digits.iter_mut().rev() {
        let value = usize::try_from(number % 62).unwrap_or(0);
        *digit = BASE_62.get(value).copied().unwrap_or(b'0');
        number /= 62;
    }
    digits.iter().copied().map(char::from).collect()
}

/// Compares without telling by its duration where the difference is.
pub(super) fn equal(one: &[u8], other: &[u8]) -> bool {
    one.ct_eq(other).into()
}

fn hmac(key: &[u8; 32], feed: impl FnOnce(&mut Hmac<Sha256>)) -> [u8; DIGEST_BYTES] {
    // HMAC fills short keys up with zeros to its block size (RFC 2104, section 2); doing so here leaves nothing to fail
    let mut block = Zeroizing::new([0; 64]);
    block.iter_mut().zip(key).for_each(|(to, from)| *to = *from);
    let mut hmac = Hmac::<Sha256>::new((&*block).into());
    feed(&mut hmac);
    hmac.finalize().into_bytes().into()
}

/// Parts of a text to be digested, each with its length before it.
#[derive(Debug)]
pub(super) struct Parts(Vec<u8>);

impl Parts {
    /// None yet, and room for those of a usual row.
    pub(super) fn new() -> Self {
        Self(Vec::with_capacity(320))
    }

    /// Adds a part, which is made of these pieces.
    pub(super) fn add(&mut self, pieces: &[&[u8]]) {
        self.0.extend_from_slice(&length(pieces.iter().map(|piece| piece.len()).sum()));
        pieces.iter().for_each(|piece| self.0.extend_from_slice(piece));
    }
}

fn associated_data(header: &[u8], place: &[&str]) -> Vec<u8> {
    let parts = place.iter().flat_map(|part| length(part.len()).into_iter().chain(part.bytes()));
    header.iter().copied().chain(parts).collect()
}

/// The length of a part. Before the part itself it keeps `ab`, `c` and `a`, `bc` apart.
fn length(bytes: usize) -> [u8; 8] {
    u64::try_from(bytes).unwrap_or(u64::MAX).to_be_bytes()
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret as _;

    use super::*;

    fn key(byte: u8) -> Key {
        Key::new([byte; 4], Zeroizing::new([byte; 32]))
    }

    #[test]
    fn a_sealed_text_opens_only_with_its_key_and_in_its_place() {
        let sealed = key(1).seal(b"canary", &["acct", "sec_1"]).unwrap();
        assert!(!sealed.windows(6).any(|window| window == b"canary"));
        assert_eq!(key(1).unseal(&sealed, &["acct", "sec_1"]).unwrap().as_slice(), b"canary");
        for place in [&["acct", "sec_2"][..], &["acctsec_1"], &["acc", "tsec_1"], &["acct", "sec_1", ""], &[]] {
            assert_eq!(key(1).unseal(&sealed, place), Err(CryptoError::Unseal), "{place:?}");
        }
        assert_eq!(key(2).unseal(&sealed, &["acct", "sec_1"]), Err(CryptoError::Unseal));
    }

    #[test]
    fn every_flipped_bit_and_every_cut_is_noticed() {
        let sealed = key(1).seal(b"canary", &["p"]).unwrap();
        for at in 0..sealed.len() {
            let mut damaged = sealed.clone();
            damaged[at] ^= 1;
            assert_eq!(key(1).unseal(&damaged, &["p"]), Err(CryptoError::Unseal), "byte {at}");
            assert_eq!(key(1).unseal(&sealed[..at], &["p"]), Err(CryptoError::Unseal), "cut at {at}");
        }
    }

    #[test]
    fn a_sealed_text_names_its_key() {
        assert_eq!(sealed_with(&key(7).seal(b"x", &[]).unwrap()), Some([7; 4]));
        assert_eq!(sealed_with(b""), None);
        assert_eq!(sealed_with(&[9; 40]), None);
    }

    #[test]
    fn sealing_twice_gives_different_bytes() {
        assert_ne!(key(1).seal(b"x", &[]).unwrap(), key(1).seal(b"x", &[]).unwrap());
    }

    #[test]
    fn digests_depend_on_key_purpose_and_cut() {
        let one = key(1);
        let digest = one.digest("p", &[b"ab", b"c"]);
        assert_eq!(digest, one.digest("p", &[b"ab", b"c"]));
        let mut parts = Parts::new();
        parts.add(&[b"a", b"b"]);
        parts.add(&[b"c"]);
        assert_eq!(digest, one.digest_of("p", &parts));
        assert_ne!(digest, one.digest("p", &[b"a", b"bc"]));
        assert_ne!(digest, one.digest("q", &[b"ab", b"c"]));
        assert_ne!(digest, key(2).digest("p", &[b"ab", b"c"]));
        assert_ne!(one.derive(b"a").bytes, one.derive(b"b").bytes);
    }

    #[test]
    fn hmac_matches_a_published_test_vector() {
        // RFC 4231, test case 1, has a 20-byte key; filled up with zeros it is the same key
        let mut key = [0; 32];
        key[..20].fill(0x0b);
        let digest = hmac(&key, |hmac| [b"Hi ".as_slice(), b"There"].iter().for_each(|part| hmac.update(part)));
        assert_eq!(digest[..8], [0xb0, 0x34, 0x4c, 0x61, 0xd8, 0xdb, 0x38, 0x53]);
    }

    #[test]
    fn a_master_key_reads_what_it_wrote_and_nothing_else() {
        let key = MasterKey::generate().unwrap();
        let hex = key.to_hex();
        let hex = hex.expose_secret();
        assert_eq!(hex.len(), 64);
        assert_eq!(*MasterKey::parse(&format!(" {hex}\n")).unwrap().0, *key.0);
        for bad in ["", "00", hex.get(1..).unwrap(), &format!("{hex}0"), &"g".repeat(64), &"é".repeat(32)] {
            assert!(MasterKey::parse(bad).is_none(), "{bad}");
        }
        assert_eq!(format!("{key:?} {:?}", key.derive(b"x")), "MasterKey([redacted]) Key([redacted])");
    }

    #[test]
    fn keys_have_their_form_and_differ() {
        let (one, other) = (new_key("ak", KEY_CHARACTERS).unwrap(), new_key("ak", KEY_CHARACTERS).unwrap());
        assert_ne!(one.expose_secret(), other.expose_secret());
        assert!(is_key("ak", KEY_CHARACTERS, one.expose_secret()));
        assert!(!is_key("rk", KEY_CHARACTERS, one.expose_secret()));
        assert!(!is_key("ak", KEY_CHARACTERS - 1, one.expose_secret()));
        assert!(!is_key("ak", KEY_CHARACTERS, "ak_short"));
    }

    #[test]
    fn base_62_keeps_the_order_of_numbers() {
        assert_eq!(base_62::<3>(0), "000");
        assert_eq!(base_62::<3>(61), "00z");
        assert_eq!(base_62::<3>(62), "010");
        assert!(base_62::<21>(u128::from(u64::MAX)) > base_62::<21>(u128::from(u64::MAX) - 1));
    }
}
