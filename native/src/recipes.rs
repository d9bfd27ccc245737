//! The computations that methods describe as data (`cdc_masker.methods.recipes`), for JSON texts of ordinary form.
//!
//! What always holds: for every text that is taken, the JSON text that comes out is the one that the method's own function
//! gives in Python. For any other text (escapes, other characters than ASCII, numbers that are not whole) nothing is written,
//! and the function is called. A marker of an unchanged large value never gets here.

use crate::ff1::Permutation;
use crate::json;
use hmac::{Hmac, Mac};
use sha2::Sha256;

/// HMAC-SHA-256 under a domain's key, with the domain hashed already.
pub struct Digest(Hmac<Sha256>);

pub enum Recipe {
    /// Tokens, by what the value is.
    Token(Box<Token>),
    /// The ends of a text, and a mark for each character between.
    Partial { first: usize, last: usize, mark: Vec<u8> },
    /// The beginning of a text.
    Truncate { length: usize },
    /// The first and last digits of a card number, and a mark for each one between.
    Card { first: usize, last: usize, mark: Vec<u8> },
}

/// Tokens of strings and of integers, where there are recipes for them.
pub struct Token {
    pub of_string: Option<OfString>,
    pub of_integer: Option<OfInteger>,
}

pub enum OfString {
    /// Of the text itself.
    Text(Digest),
    /// Of the text in lower case.
    Folded(Digest),
    /// Of the 16 bytes that a uuid writes; a uuid again.
    Uuid(Digest),
}

pub enum OfInteger {
    /// Of the digits.
    Text(Digest),
    /// Another integer of as many bits.
    Permuted(Box<Permutation>, u32),
}

impl Digest {
    /// `head` stands before each message.
    pub fn new(key: &[u8], head: &[u8]) -> Option<Self> {
        let mut state = Hmac::new_from_slice(key).ok()?;
        state.update(head);
        Some(Digest(state))
    }

    /// The first half of the digest.
    fn of(&self, message: &[u8]) -> [u8; 16] {
        let mut state = self.0.clone();
        state.update(message);
        let digest = state.finalize().into_bytes();
        let mut half = [0; 16];
        half.iter_mut().zip(digest).for_each(|(byte, from)| *byte = from);
        half
    }
}

impl Recipe {
    /// Writes what stands for this JSON text, which is not null; false, and nothing is written, if it is none of ordinary form.
    pub fn write(&self, text: &[u8], out: &mut Vec<u8>) -> bool {
        let before = out.len();
        let written = match content(text) {
            Some(content) => self.of_string(content, out),
            None => self.of_integer(text, out),
        };
        if written.is_none() {
            out.truncate(before);
        }
        written.is_some()
    }

    fn of_string(&self, content: &[u8], out: &mut Vec<u8>) -> Option<()> {
        match self {
            Recipe::Token(token) => token.of_string.as_ref()?.write(content, out)?,
            Recipe::Partial { first, last, mark } => {
                let hidden = content.len().saturating_sub(first.saturating_add(*last));
                let (start, end) = if hidden == 0 { (0, content.len()) } else { (*first, *first + hidden) };
                out.push(b'"');
                out.extend_from_slice(content.get(..start)?);
                for _ in start..end {
                    out.extend_from_slice(mark);
                }
                out.extend_from_slice(content.get(end..)?);
                out.push(b'"');
            }
            Recipe::Truncate { length } => {
                out.push(b'"');
                out.extend_from_slice(content.get(..*length).unwrap_or(content));
                out.push(b'"');
            }
            Recipe::Card { first, last, mark } => write_card(content, *first, *last, mark, out)?,
        }
        Some(())
    }

    fn of_integer(&self, text: &[u8], out: &mut Vec<u8>) -> Option<()> {
        match self {
            Recipe::Token(token) => token.of_integer.as_ref()?.write(text, out),
            _ => None,
        }
    }
}

impl OfString {
    fn write(&self, content: &[u8], out: &mut Vec<u8>) -> Option<()> {
        match self {
            OfString::Text(digest) => write_hex(&digest.of(content), out),
            OfString::Folded(digest) => write_hex(&digest.of(&content.to_ascii_lowercase()), out),
            OfString::Uuid(digest) => write_uuid(digest.of(&uuid(content)?), out),
        }
        Some(())
    }
}

impl OfInteger {
    fn write(&self, text: &[u8], out: &mut Vec<u8>) -> Option<()> {
        let number = json::integer(text)?;
        match self {
            OfInteger::Text(digest) => write_hex(&digest.of(text), out),
            OfInteger::Permuted(permutation, 32) => {
                let half = 1 << 31;
                let permuted = permutation.permute((i64::from(i32::try_from(number).ok()?) + half) as u64);
                out.extend_from_slice((permuted as i64 - half).to_string().as_bytes());
            }
            OfInteger::Permuted(permutation, _) => {
                let sign = 1 << 63; // to add half of the range is to turn the sign
                let permuted = permutation.permute(number as u64 ^ sign) ^ sign;
                out.extend_from_slice((permuted as i64).to_string().as_bytes());
            }
        }
        Some(())
    }
}

/// Of 12 to 19 digits with at most one blank or hyphen between two of them, and blanks behind them.
fn write_card(content: &[u8], first: usize, last: usize, mark: &[u8], out: &mut Vec<u8>) -> Option<()> {
    let digits = content.iter().filter(|byte| byte.is_ascii_digit()).count();
    let (start, end) = (first.min(digits.checked_sub(SHORT_CARD)?), digits.checked_sub(last)?);
    let (mut seen, mut after_digit) = (0, false);
    out.push(b'"');
    for byte in content {
        match byte {
            b'0'..=b'9' => {
                out.extend_from_slice(if (start..end).contains(&seen) { mark } else { std::slice::from_ref(byte) });
                seen += 1;
                after_digit = true;
            }
            b' ' if seen == digits => out.push(b' '),
            b' ' | b'-' if after_digit && seen < digits => {
                out.push(*byte);
                after_digit = false;
            }
            _ => return None,
        }
    }
    out.push(b'"');
    if (12..=19).contains(&digits) {
        Some(())
    } else {
        None
    }
}

/// What a short card number leaves for the first digits is the rest (`cdc_masker.methods.card`).
const SHORT_CARD: usize = 9;

/// What stands between the quotes of a string of ASCII characters without escapes.
fn content(text: &[u8]) -> Option<&[u8]> {
    let content = text.strip_prefix(b"\"")?.strip_suffix(b"\"")?;
    if content.is_ascii() && memchr::memchr(b'\\', content).is_none() {
        Some(content)
    } else {
        None
    }
}

const HEX: &[u8; 16] = b"0123456789abcdef";

fn hex(digits: &[u8], out: &mut Vec<u8>) {
    for byte in digits {
        let (high, low) = (usize::from(byte >> 4), usize::from(byte & 15));
        out.extend(HEX.get(high));
        out.extend(HEX.get(low));
    }
}

fn write_hex(digest: &[u8; 16], out: &mut Vec<u8>) {
    out.push(b'"');
    hex(digest, out);
    out.push(b'"');
}

/// A uuid of version 8 (RFC 9562) with these bits.
fn write_uuid(digest: [u8; 16], out: &mut Vec<u8>) {
    let bits = u128::from_be_bytes(digest);
    let version = bits & !(0xf << 76) | 0x8 << 76;
    let bytes = (version & !(0x3 << 62) | 0x2 << 62).to_be_bytes();
    let mut rest = bytes.as_slice();
    out.push(b'"');
    for (index, length) in [4, 2, 2, 2, 6].into_iter().enumerate() {
        if index > 0 {
            out.push(b'-');
        }
        let (part, others) = rest.split_at(length);
        hex(part, out);
        rest = others;
    }
    out.push(b'"');
}

/// The 16 bytes that a uuid writes, in either case.
fn uuid(content: &[u8]) -> Option<[u8; 16]> {
    let mut number = 0u128;
    if content.len() != 36 {
        return None;
    }
    for (index, byte) in content.iter().enumerate() {
        match (index, byte) {
            (8 | 13 | 18 | 23, b'-') => {}
            (8 | 13 | 18 | 23, _) => return None,
            _ => number = number << 4 | u128::from(char::from(*byte).to_digit(16)?),
        }
    }
    Some(number.to_be_bytes())
}
