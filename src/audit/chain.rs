//! What binds the lines of the log to each other and to the key: a code over each line and the one before it.
//!
//! Knows neither files nor what a line says.

use std::fmt;

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

/// How long the key is, in bytes.
pub(super) const KEY_BYTES: usize = 32;

/// What stands before the code of a line, which is its last member.
const BEFORE_CODE: &str = ",\"mac\":\"";
/// What stands behind it.
const BEHIND_CODE: &str = "\"}";

/// A code of 128 bits: HMAC-SHA-256, cut in half (RFC 2104, section 5).
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Code([u8; 16]);

impl Code {
    /// What the first line follows.
    pub(super) const NONE: Self = Self([0; 16]);
    /// How long it is as text.
    pub(super) const TEXT_BYTES: usize = 32;

    fn of(mac: Hmac<Sha256>) -> Self {
        let mut code = [0; 16];
        code.iter_mut().zip(mac.finalize().into_bytes()).for_each(|(own, byte)| *own = byte);
        Self(code)
    }

    /// Reads the lowercase hexadecimal digits that [`Display`](fmt::Display) writes.
    pub(super) fn parse(text: &[u8]) -> Option<Self> {
        let digit = |byte: u8| match byte {
            b'0'..=b'9' => Some(byte - b'0'),
            b'a'..=b'f' => Some(byte - b'a' + 10),
            _ => None,
        };
        let (pairs, rest) = text.as_chunks::<2>();
        if pairs.len() != 16 || !rest.is_empty() {
            return None;
        }
        let mut code = [0; 16];
        for (own, [high, low]) in code.iter_mut().zip(pairs) {
            *own = (digit(*high)? << 4) | digit(*low)?;
        }
        Some(Self(code))
    }

    /// What it is made of.
    pub(super) fn bytes(self) -> [u8; 16] {
        self.0
    }

    /// It as lowercase hexadecimal digits.
    pub(super) fn text(self) -> [u8; Self::TEXT_BYTES] {
        let mut text = [0; Self::TEXT_BYTES];
        let (pairs, _) = text.as_chunks_mut::<2>();
        pairs.iter_mut().zip(self.0).for_each(|(pair, byte)| *pair = digits(byte));
        text
    }

    fn is(self, other: Self) -> bool {
        bool::from(self.0.ct_eq(&other.0))
    }
}

impl fmt::Display for Code {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(str::from_utf8(&self.text()).unwrap_or_default())
    }
}

impl fmt::Debug for Code {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

/// What is made of the key of a log: one for each purpose, so that no code of one kind passes for one of another.
#[derive(Clone)]
pub(super) struct Keys {
    lines: Hmac<Sha256>,
    head: Hmac<Sha256>,
    digests: Hmac<Sha256>,
    name: String,
}

impl Keys {
    /// Of a key.
    pub(super) fn new(key: &[u8; KEY_BYTES]) -> Self {
        let key = Hmac::<Sha256>::new(&{
            let mut block = Zeroizing::new([0; 64]);
            block.iter_mut().zip(key).for_each(|(own, byte)| *own = *byte);
            (*block).into()
        });
        let derived = |purpose: &str| {
            let bytes = key.clone().chain_update("keyglass audit 1 ").chain_update(purpose).finalize().into_bytes();
            let mut block = Zeroizing::new([0; 64]);
            block.iter_mut().zip(bytes).for_each(|(own, byte)| *own = byte);
            Hmac::<Sha256>::new(&(*block).into())
        };
        let mut name = Code::of(derived("name")).to_string();
        name.truncate(8);
        Self { lines: derived("lines"), head: derived("head"), digests: derived("digests"), name }
    }

    /// Tells keys apart, and gives nothing of them away.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// The code of a line, of which this is all but the code.
    fn code(&self, body: &[u8]) -> Code {
        Code::of(self.lines.clone().chain_update(body))
    }

    /// The code of a head, of which this is all but the code.
    pub(super) fn head_code(&self, body: &[u8]) -> Code {
        Code::of(self.head.clone().chain_update(body))
    }

    /// Takes in what a digest is made of.
    pub(super) fn digest(&self) -> Digesting {
        Digesting(self.digests.clone())
    }

    /// Puts the code of a line behind its other members: `body` is a JSON object without its last brace, in which the code
    /// of the line before stands already. A line break follows.
    pub(super) fn close(&self, body: &mut Vec<u8>, from: usize) -> Code {
        let code = self.code(body.get(from..).unwrap_or_default());
        body.extend_from_slice(BEFORE_CODE.as_bytes());
        body.extend_from_slice(&code.text());
        body.extend_from_slice(BEHIND_CODE.as_bytes());
        body.push(b'\n');
        code
    }

    /// The code of a line, without its line break, where it is the right one.
    pub(super) fn opened(&self, line: &[u8]) -> Option<Code> {
        let (body, code) = split(line)?;
        self.code(body).is(code).then_some(code)
    }

    /// Whether it is the code of a head.
    pub(super) fn is_of_head(&self, body: &[u8], code: Code) -> bool {
        self.head_code(body).is(code)
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("Keys").field(&self.name).finish()
    }
}

/// A line, without its line break, as what its code is over and the code that it states.
pub(super) fn split(line: &[u8]) -> Option<(&[u8], Code)> {
    let line = line.strip_suffix(BEHIND_CODE.as_bytes())?;
    let (rest, code) = line.split_at_checked(line.len().checked_sub(Code::TEXT_BYTES)?)?;
    Some((rest.strip_suffix(BEFORE_CODE.as_bytes())?, Code::parse(code)?))
}

/// A digest in the making.
pub(super) struct Digesting(Hmac<Sha256>);

impl Digesting {
    /// What it comes to.
    pub(super) fn done(self) -> Code {
        Code::of(self.0)
    }
}

impl std::io::Write for Digesting {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Bytes as lowercase hexadecimal digits.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().flat_map(|byte| digits(*byte)).map(char::from).collect()
}

/// The two lowercase hexadecimal digits of a byte.
fn digits(byte: u8) -> [u8; 2] {
    let digit = |half: u8| if half < 10 { b'0' + half } else { b'a' + (half - 10) };
    [digit(byte >> 4), digit(byte & 0xf)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_opens_with_the_key_that_closed_it_and_no_other() {
        let (keys, other) = (Keys::new(&[1; KEY_BYTES]), Keys::new(&[2; KEY_BYTES]));
        let mut line = b"before{\"seq\":1".to_vec();
        let code = keys.close(&mut line, 6);
        let line = line.strip_prefix(b"before").and_then(|line| line.strip_suffix(b"\n")).unwrap();
        assert_eq!(line, format!("{{\"seq\":1,\"mac\":\"{code}\"}}").as_bytes());
        assert_eq!(keys.opened(line), Some(code));
        assert_eq!(other.opened(line), None);
        assert_ne!(keys.name(), other.name());
        for place in 0..line.len() {
            let mut edited = line.to_vec();
            edited[place] ^= 1;
            assert_eq!(keys.opened(&edited), None, "{place}");
        }
        assert_eq!(Code::parse(code.to_string().as_bytes()), Some(code));
        assert_eq!(
            Code::parse(code.to_string().to_uppercase().as_bytes()).is_some(),
            !code.to_string().contains(|c: char| c.is_ascii_lowercase())
        );
    }
}
