//! Strict JSON, scanned and never decoded.
//!
//! What always holds: what is taken is compact JSON as Kafka Connect's JsonConverter writes it, valid by every rule that the
//! Python core has, with no name twice in any object. Whatever else a text holds ends in `None`, which says nothing about it:
//! Python reads it then. The text has to be UTF-8, which whoever calls has checked. Nothing here can panic.

/// How deep values may nest: less than Python allows, more than rows need.
const DEEPEST: u8 = 32;
/// So many digits are an integer of 64 bits, whatever they are.
const ALWAYS_FIT: usize = 18;
/// How many members an object inside of a row may have: each name is compared with all others.
const MOST_MEMBERS: usize = 32;

/// A member of an object: its name without quotes, in which there are no escapes, and the text of its value.
#[derive(Clone, Copy)]
pub struct Member<'a> {
    pub name: &'a [u8],
    pub value: &'a [u8],
}

pub struct Scanner<'a> {
    text: &'a [u8],
    at: usize,
}

/// What stands between the quotes of a string. `plain`: no escapes. `canonical`: none but those of quote and backslash.
struct Text<'a> {
    content: &'a [u8],
    plain: bool,
    canonical: bool,
}

impl<'a> Scanner<'a> {
    pub fn new(text: &'a [u8]) -> Self {
        Scanner { text, at: 0 }
    }

    /// How many bytes have been taken.
    pub fn position(&self) -> usize {
        self.at
    }

    /// Whether the text ends here.
    pub fn at_end(&self) -> bool {
        self.at == self.text.len()
    }

    /// Takes these bytes, if they come next.
    pub fn take(&mut self, expected: &[u8]) -> bool {
        let comes = self.rest().starts_with(expected);
        if comes {
            self.at += expected.len();
        }
        comes
    }

    /// Takes the label (name in quotes, and colon) of a member, with the comma before it, unless it is the first one.
    pub fn take_member(&mut self, first: &mut bool, label: &[u8]) -> bool {
        let rest = self.rest();
        let comes = if *first { Some(rest) } else { rest.strip_prefix(b",") };
        match comes {
            Some(behind) if behind.starts_with(label) => {
                self.at += rest.len() - behind.len() + label.len();
                *first = false;
                true
            }
            _ => false,
        }
    }

    /// An object with at least one member, the values of which are any JSON.
    pub fn row(&mut self) -> Option<Vec<Member<'a>>> {
        let mut members = Vec::with_capacity(32);
        self.members(&mut members, 1)?;
        Some(members)
    }

    /// Any value, and the text of it.
    pub fn value(&mut self, depth: u8) -> Option<&'a [u8]> {
        let start = self.at;
        match self.text.get(self.at)? {
            b'"' => self.string().map(drop)?,
            b'{' => self.object(depth)?,
            b'[' => self.array(depth)?,
            b't' => self.expect(b"true")?,
            b'f' => self.expect(b"false")?,
            b'n' => self.expect(b"null")?,
            _ => self.number()?,
        }
        self.text.get(start..self.at)
    }

    /// A string that comes out as it is when it is decoded and written again; what stands between its quotes.
    pub fn text(&mut self) -> Option<&'a [u8]> {
        self.string().filter(|text| text.canonical).map(|text| text.content)
    }

    /// A string without escapes.
    pub fn name(&mut self) -> Option<&'a [u8]> {
        self.string().filter(|text| text.plain).map(|text| text.content)
    }

    /// An integer of 64 bits, written as short as can be.
    pub fn integer(&mut self) -> Option<i64> {
        let start = self.at;
        self.number()?;
        integer(self.text.get(start..self.at)?)
    }

    fn rest(&self) -> &'a [u8] {
        self.text.get(self.at..).unwrap_or(b"")
    }

    fn expect(&mut self, literal: &[u8]) -> Option<()> {
        if self.take(literal) {
            Some(())
        } else {
            None
        }
    }

    fn object(&mut self, depth: u8) -> Option<()> {
        if self.take(b"{}") {
            return Some(());
        }
        let mut members = Vec::new();
        self.members(&mut members, depth)?;
        if members.len() > MOST_MEMBERS {
            return None;
        }
        let mut rest = members.as_slice();
        while let Some((one, others)) = rest.split_first() {
            if others.iter().any(|other| other.name == one.name) {
                return None;
            }
            rest = others;
        }
        Some(())
    }

    fn members(&mut self, into: &mut Vec<Member<'a>>, depth: u8) -> Option<()> {
        if depth > DEEPEST {
            return None;
        }
        self.expect(b"{")?;
        loop {
            let name = self.name()?;
            self.expect(b":")?;
            let value = self.value(depth + 1)?;
            into.push(Member { name, value });
            match self.text.get(self.at)? {
                b',' => self.at += 1,
                b'}' => {
                    self.at += 1;
                    return Some(());
                }
                _ => return None,
            }
        }
    }

    fn array(&mut self, depth: u8) -> Option<()> {
        if depth > DEEPEST {
            return None;
        }
        self.expect(b"[")?;
        if self.take(b"]") {
            return Some(());
        }
        loop {
            self.value(depth + 1)?;
            match self.text.get(self.at)? {
                b',' => self.at += 1,
                b']' => {
                    self.at += 1;
                    return Some(());
                }
                _ => return None,
            }
        }
    }

    fn string(&mut self) -> Option<Text<'a>> {
        self.expect(b"\"")?;
        let start = self.at;
        let (mut plain, mut canonical) = (true, true);
        loop {
            self.at = next_special(self.text, self.at);
            match self.text.get(self.at)? {
                b'"' => {
                    let content = self.text.get(start..self.at)?;
                    self.at += 1;
                    return Some(Text { content, plain, canonical });
                }
                b'\\' => {
                    plain = false;
                    let escape = *self.text.get(self.at + 1)?;
                    canonical &= matches!(escape, b'"' | b'\\');
                    self.at += match escape {
                        b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => 2,
                        b'u' if is_character(self.text.get(self.at + 2..self.at + 6)?) => 6,
                        _ => return None,
                    };
                }
                _ => return None,
            }
        }
    }

    fn number(&mut self) -> Option<()> {
        self.take(b"-");
        if !self.take(b"0") {
            self.digits()?;
        }
        if self.take(b".") {
            self.digits()?;
        }
        if self.take(b"e") || self.take(b"E") {
            if !self.take(b"+") {
                self.take(b"-");
            }
            self.digits()?;
        }
        Some(())
    }

    fn digits(&mut self) -> Option<()> {
        let count = self.rest().iter().take_while(|byte| byte.is_ascii_digit()).count();
        self.at += count;
        if count > 0 {
            Some(())
        } else {
            None
        }
    }
}

/// The integer of 64 bits that a text writes, if it is written as short as can be.
pub fn integer(text: &[u8]) -> Option<i64> {
    let digits = text.strip_prefix(b"-").unwrap_or(text);
    let shortest = digits.first() != Some(&b'0') || text == b"0";
    if !shortest || digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    if digits.len() <= ALWAYS_FIT {
        let number = digits.iter().fold(0, |number, digit| number * 10 + i64::from(digit - b'0'));
        return Some(if digits.len() < text.len() { -number } else { number });
    }
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// Whether four hexadecimal digits name a character, and not half of one.
fn is_character(digits: &[u8]) -> bool {
    !matches!(digits.first(), None | Some(b'd' | b'D')) && digits.iter().all(u8::is_ascii_hexdigit)
}

const ONES: u64 = 0x0101_0101_0101_0101;
const HIGH: u64 = 0x8080_8080_8080_8080;

/// Where the next quote, backslash or control character stands; the end, if there is none. Eight bytes at a time.
fn next_special(text: &[u8], from: usize) -> usize {
    let mut at = from;
    while let Some(Ok(bytes)) = text.get(at..at + 8).map(<[u8; 8]>::try_from) {
        let word = u64::from_le_bytes(bytes);
        let control = word.wrapping_sub(ONES * 0x20) & !word;
        let special = (control | zeros(word ^ (ONES * 0x22)) | zeros(word ^ (ONES * 0x5c))) & HIGH;
        if special != 0 {
            return at + (special.trailing_zeros() / 8) as usize; // the lowest bit is exact, those above may not be
        }
        at += 8;
    }
    let tail = text.get(at..).unwrap_or(b"");
    at + tail.iter().take_while(|byte| !matches!(byte, b'"' | b'\\' | 0..=0x1f)).count()
}

/// The high bit of each byte that is zero, and perhaps of some above the lowest of them.
fn zeros(word: u64) -> u64 {
    word.wrapping_sub(ONES) & !word
}
