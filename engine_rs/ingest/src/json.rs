//! A strict JSON scanner that hands out the text of wanted members: numbers stay text, so that none becomes a float.
//! May not live here: what the members mean.

/// Deeper nesting is refused.
const DEPTH_MAX: u32 = 64;

/// The text is not JSON (RFC 8259).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotJson;

/// The text of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Text<'a> {
    /// A string without escapes, without its quotes; or a number, `true` or `false`, as written.
    Plain(&'a [u8]),
    /// A string with escapes, without its quotes.
    Escaped(&'a [u8]),
    /// An object or array, as written.
    Nested(&'a [u8]),
    Null,
}

/// Calls `on_member(path, value)` for each member of the object that is the whole text, in order.
///
/// `path` are the keys on the way: members of objects inside are visited if `enters` says so for their path. Keys are
/// compared as written (an escaped key matches nothing).
pub fn members<'a>(
    text: &'a [u8],
    enters: &impl Fn(&[&[u8]]) -> bool,
    on_member: &mut impl FnMut(&[&[u8]], Text<'a>),
) -> Result<(), NotJson> {
    let mut scanner = Scanner { text, at: 0 };
    scanner.blank();
    if scanner.peek() != Some(b'{') {
        return Err(NotJson);
    }
    let mut path = Vec::with_capacity(4);
    scanner.object(&mut path, 0, enters, on_member)?;
    scanner.blank();
    if scanner.at == text.len() {
        Ok(())
    } else {
        Err(NotJson)
    }
}

/// Resolves the escapes of a string; None if one is wrong.
pub fn unescape(text: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = memchr::memchr(b'\\', rest) {
        out.extend_from_slice(&rest[..at]);
        let code = *rest.get(at + 1)?;
        rest = &rest[at + 2..];
        let plain = match code {
            b'"' | b'\\' | b'/' => code,
            b'b' => 8,
            b'f' => 12,
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'u' => {
                let mut unit = hex(rest)?;
                rest = &rest[4..];
                if (0xd800..0xdc00).contains(&unit) {
                    let low = hex(rest.strip_prefix(b"\\u")?)?;
                    rest = &rest[6..];
                    unit = 0x10000 + ((unit - 0xd800) << 10) + low.checked_sub(0xdc00)?;
                }
                let mut buffer = [0; 4];
                out.extend_from_slice(char::from_u32(unit)?.encode_utf8(&mut buffer).as_bytes());
                continue;
            }
            _ => return None,
        };
        out.push(plain);
    }
    out.extend_from_slice(rest);
    Some(out)
}

fn hex(text: &[u8]) -> Option<u32> {
    text.get(..4)?
        .iter()
        .try_fold(0, |value, &byte| Some(value * 16 + char::from(byte).to_digit(16)?))
}

struct Scanner<'a> {
    text: &'a [u8],
    at: usize,
}

impl<'a> Scanner<'a> {
    #[inline]
    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    #[inline]
    fn blank(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    #[inline]
    fn expect(&mut self, byte: u8) -> Result<(), NotJson> {
        if self.peek() != Some(byte) {
            return Err(NotJson);
        }
        self.at += 1;
        Ok(())
    }

    fn object(
        &mut self,
        path: &mut Vec<&'a [u8]>,
        depth: u32,
        enters: &impl Fn(&[&[u8]]) -> bool,
        on_member: &mut impl FnMut(&[&[u8]], Text<'a>),
    ) -> Result<(), NotJson> {
        if depth > DEPTH_MAX {
            return Err(NotJson);
        }
        self.expect(b'{')?;
        self.blank();
        if self.peek() == Some(b'}') {
            self.at += 1;
            return Ok(());
        }
        loop {
            self.blank();
            let (key, _) = self.string()?;
            self.blank();
            self.expect(b':')?;
            self.blank();
            path.push(key);
            if self.peek() == Some(b'{') && enters(path) {
                self.object(path, depth + 1, enters, on_member)?;
            } else {
                let value = self.value(depth + 1)?;
                on_member(path, value);
            }
            path.pop();
            self.blank();
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b'}') => {
                    self.at += 1;
                    return Ok(());
                }
                _ => return Err(NotJson),
            }
        }
    }

    fn value(&mut self, depth: u32) -> Result<Text<'a>, NotJson> {
        if depth > DEPTH_MAX {
            return Err(NotJson);
        }
        let start = self.at;
        match self.peek().ok_or(NotJson)? {
            b'"' => {
                let (text, is_escaped) = self.string()?;
                Ok(if is_escaped {
                    Text::Escaped(text)
                } else {
                    Text::Plain(text)
                })
            }
            b'{' => {
                self.skip_object(depth)?;
                Ok(Text::Nested(&self.text[start..self.at]))
            }
            b'[' => {
                self.skip_array(depth)?;
                Ok(Text::Nested(&self.text[start..self.at]))
            }
            b'n' => self.word(b"null").map(|_| Text::Null),
            b't' => self.word(b"true").map(Text::Plain),
            b'f' => self.word(b"false").map(Text::Plain),
            // Not JSON, but what Python writes: their text is refused as a number, with a better reason.
            b'N' => self.word(b"NaN").map(Text::Plain),
            b'I' => self.word(b"Infinity").map(Text::Plain),
            _ => self.number().map(Text::Plain),
        }
    }

    fn skip_object(&mut self, depth: u32) -> Result<(), NotJson> {
        self.at += 1;
        self.blank();
        if self.peek() == Some(b'}') {
            self.at += 1;
            return Ok(());
        }
        loop {
            self.blank();
            self.string()?;
            self.blank();
            self.expect(b':')?;
            self.blank();
            self.value(depth + 1)?;
            self.blank();
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b'}') => {
                    self.at += 1;
                    return Ok(());
                }
                _ => return Err(NotJson),
            }
        }
    }

    fn skip_array(&mut self, depth: u32) -> Result<(), NotJson> {
        self.at += 1;
        self.blank();
        if self.peek() == Some(b']') {
            self.at += 1;
            return Ok(());
        }
        loop {
            self.blank();
            self.value(depth + 1)?;
            self.blank();
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b']') => {
                    self.at += 1;
                    return Ok(());
                }
                _ => return Err(NotJson),
            }
        }
    }

    /// The text between the quotes, and whether it has escapes (which are checked where they are resolved).
    #[inline]
    fn string(&mut self) -> Result<(&'a [u8], bool), NotJson> {
        self.expect(b'"')?;
        let start = self.at;
        let mut is_escaped = false;
        loop {
            match self.peek().ok_or(NotJson)? {
                b'"' => {
                    let text = &self.text[start..self.at];
                    self.at += 1;
                    return Ok((text, is_escaped));
                }
                b'\\' => {
                    is_escaped = true;
                    self.at += 2;
                }
                0..=0x1f => return Err(NotJson),
                _ => self.at += 1,
            }
        }
    }

    fn word(&mut self, word: &'static [u8]) -> Result<&'a [u8], NotJson> {
        let text = self.text.get(self.at..self.at + word.len()).ok_or(NotJson)?;
        if text != word {
            return Err(NotJson);
        }
        self.at += word.len();
        Ok(text)
    }

    fn number(&mut self) -> Result<&'a [u8], NotJson> {
        let start = self.at;
        if self.peek() == Some(b'-') {
            self.at += 1;
            if self.peek() == Some(b'I') {
                self.word(b"Infinity")?;
                return Ok(&self.text[start..self.at]);
            }
        }
        let whole = self.digits();
        if whole == 0 || (whole > 1 && self.text[self.at - whole] == b'0') {
            return Err(NotJson);
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            if self.digits() == 0 {
                return Err(NotJson);
            }
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            if self.digits() == 0 {
                return Err(NotJson);
            }
        }
        Ok(&self.text[start..self.at])
    }

    fn digits(&mut self) -> usize {
        let start = self.at;
        while self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            self.at += 1;
        }
        self.at - start
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(text: &str) -> Result<Vec<(String, String)>, NotJson> {
        let mut found = Vec::new();
        members(text.as_bytes(), &|path| path == [b"d"], &mut |path, value| {
            let path: Vec<_> = path.iter().map(|key| String::from_utf8_lossy(key)).collect();
            let value = match value {
                Text::Plain(text) => String::from_utf8_lossy(text).into_owned(),
                Text::Escaped(text) => format!("esc:{}", String::from_utf8_lossy(text)),
                Text::Nested(text) => format!("nested:{}", String::from_utf8_lossy(text)),
                Text::Null => "null".into(),
            };
            found.push((path.join("."), value));
        })?;
        Ok(found)
    }

    #[test]
    fn members_come_as_text_in_order() {
        let found = all(r#" {"a": 1.50, "b":"x\/y", "c":[1,{"z":null}], "d":{"e":-1e5,"f":true}, "g":null} "#).unwrap();
        let found: Vec<_> = found
            .iter()
            .map(|(path, text)| (path.as_str(), text.as_str()))
            .collect();
        assert_eq!(
            found,
            [
                ("a", "1.50"),
                ("b", "esc:x\\/y"),
                ("c", "nested:[1,{\"z\":null}]"),
                ("d.e", "-1e5"),
                ("d.f", "true"),
                ("g", "null")
            ]
        );
        assert_eq!(all("{}"), Ok(vec![]));
    }

    #[test]
    fn what_is_not_json_is_refused() {
        for text in [
            "",
            "{",
            "[]",
            "1",
            "{}x",
            "{\"a\"}",
            "{\"a\":}",
            "{\"a\":1,}",
            "{a:1}",
            "{\"a\":01}",
            "{\"a\":1.}",
            "{\"a\":.5}",
            "{\"a\":1e}",
            "{\"a\":+1}",
            "{\"a\":tru}",
            "{\"a\":\"\n\"}",
            "{\"a\":\"x",
            "{\"a\":\"x\\",
            "{\"a\":[1,]}",
            "{\"a\":{\"b\":1}",
        ] {
            assert_eq!(all(text), Err(NotJson), "{text}");
        }
        let deep = format!("{{\"a\":{}{}}}", "[".repeat(100), "]".repeat(100));
        assert_eq!(all(&deep), Err(NotJson));
    }

    #[test]
    fn escapes_are_resolved() {
        assert_eq!(
            unescape(br#"a\/b\"\\\n\u0041\ud83d\ude00"#).unwrap(),
            "a/b\"\\\nA\u{1f600}".as_bytes()
        );
        for wrong in [r"\x", r"\u12", r"\ud800", r"\ud800\u0041", r"\udc00", "\\"] {
            assert_eq!(unescape(wrong.as_bytes()), None, "{wrong}");
        }
    }
}
