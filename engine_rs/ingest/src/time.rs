//! Times as text to nanoseconds since the Unix epoch, UTC.
//! May not live here: zones with rules (the shell converts those), or any clock.

use replay_core::decimal::{self, DecimalError};

use crate::layout::{TimeLayout, TimeUnit};

const NS_PER_SECOND: i64 = 1_000_000_000;
const SECONDS_PER_DAY: i64 = 86_400;

/// Reads the times of one column; remembers the last date, since most rows share it.
#[derive(Clone, Debug)]
pub struct TimeReader {
    unit: TimeUnit,
    local: bool,
    last_date: [u8; 10],
    last_day: i64,
}

impl TimeReader {
    pub fn new(layout: &TimeLayout) -> TimeReader {
        TimeReader {
            unit: layout.unit,
            local: layout.local,
            last_date: *b"1970-01-01",
            last_day: 0,
        }
    }

    /// The time in ns. None: the text is no such time, or does not fit 64 bits.
    ///
    /// Integers may carry a fraction; what is below a nanosecond is cut off. ISO: `YYYY-mm-dd` or `YYYY/mm/dd` or
    /// `YYYYmmdd`, then `T` or a blank and `HH:MM[:SS[.fraction]]`, then `Z`, ` UTC`, `+HH:MM` or nothing for UTC.
    #[inline]
    pub fn read(&mut self, text: &[u8]) -> Option<i64> {
        match self.unit {
            TimeUnit::S => scaled(text, NS_PER_SECOND, 9),
            TimeUnit::Ms => scaled(text, 1_000_000, 6),
            TimeUnit::Us => scaled(text, 1_000, 3),
            TimeUnit::Ns => scaled(text, 1, 0),
            TimeUnit::Iso => self.iso(text),
        }
    }

    fn iso(&mut self, text: &[u8]) -> Option<i64> {
        let (day, rest) = self.day(text)?;
        let (nanosecond_of_day, offset_seconds) = match rest.first() {
            None => (0, None),
            Some(b'T' | b't' | b' ') => time_of_day(&rest[1..])?,
            Some(_) => return None,
        };
        if self.local && offset_seconds.is_some() {
            return None;
        }
        day.checked_mul(SECONDS_PER_DAY)?
            .checked_sub(offset_seconds.unwrap_or(0))?
            .checked_mul(NS_PER_SECOND)?
            .checked_add(nanosecond_of_day)
    }

    /// The day since the epoch, and the text behind the date.
    #[inline]
    fn day<'a>(&mut self, text: &'a [u8]) -> Option<(i64, &'a [u8])> {
        let Some((date, rest)) = text.split_first_chunk::<10>() else {
            let day = civil_day(
                number(text.get(..4)?)?,
                number(text.get(4..6)?)?,
                number(text.get(6..8)?)?,
            )?;
            return (text.len() == 8).then_some((day, &text[8..]));
        };
        if *date == self.last_date {
            return Some((self.last_day, rest));
        }
        if matches!(date[8], b'T' | b't' | b' ') {
            let day = civil_day(number(&date[..4])?, number(&date[4..6])?, number(&date[6..8])?)?;
            return Some((day, &text[8..]));
        }
        if date[4] != date[7] || !matches!(date[4], b'-' | b'/') {
            return None;
        }
        let day = civil_day(number(&date[..4])?, number(&date[5..7])?, number(&date[8..])?)?;
        self.last_date = *date;
        self.last_day = day;
        Some((day, rest))
    }
}

/// An integer, or a decimal number, of units.
fn scaled(text: &[u8], factor: i64, decimals: u32) -> Option<i64> {
    let (negative, digits) = match text.first()? {
        b'-' => (true, &text[1..]),
        _ => (false, text),
    };
    if let Some(value) = number(digits) {
        let value = value.checked_mul(factor)?;
        return Some(if negative { -value } else { value });
    }
    match decimal::parse(text, decimals) {
        Ok(value) => Some(value),
        Err(DecimalError::ExcessDecimals) => decimal::parse(cut(text, decimals)?, decimals).ok(),
        Err(_) => None,
    }
}

/// The text without the digits below the scale; None if it has an exponent.
fn cut(text: &[u8], decimals: u32) -> Option<&[u8]> {
    let point = memchr::memchr(b'.', text)?;
    let is_plain = text[point + 1..].iter().all(u8::is_ascii_digit);
    is_plain.then(|| &text[..text.len().min(point + 1 + decimals as usize)])
}

/// Digits only, at most 19 of them, as an integer.
#[inline]
fn number(digits: &[u8]) -> Option<i64> {
    if digits.is_empty() || digits.len() > 19 {
        return None;
    }
    let mut value = 0_u64;
    for byte in digits {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        value = value * 10 + u64::from(digit);
    }
    i64::try_from(value).ok()
}

/// Nanosecond of the day, and the offset in seconds if the text states one.
#[inline]
fn time_of_day(text: &[u8]) -> Option<(i64, Option<i64>)> {
    let hour = number(text.get(..2)?)?;
    if text.get(2) != Some(&b':') {
        return None;
    }
    let minute = number(text.get(3..5)?)?;
    let mut rest = &text[5..];
    let mut second = 0;
    let mut fraction_ns = 0;
    if rest.first() == Some(&b':') {
        second = number(rest.get(1..3)?)?;
        rest = &rest[3..];
        if rest.first() == Some(&b'.') {
            let length = rest[1..].iter().take_while(|byte| byte.is_ascii_digit()).count();
            if length == 0 {
                return None;
            }
            let kept = length.min(9);
            fraction_ns = number(&rest[1..1 + kept])? * 10_i64.pow(9 - kept as u32);
            rest = &rest[1 + length..];
        }
    }
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let nanosecond = (hour * 3_600 + minute * 60 + second) * NS_PER_SECOND + fraction_ns;
    Some((nanosecond, if rest.is_empty() { None } else { Some(offset(rest)?) }))
}

/// The offset from UTC in seconds: `Z`, ` UTC`, `+HH`, `+HHMM` or `+HH:MM`.
fn offset(text: &[u8]) -> Option<i64> {
    let text = text.strip_prefix(b" ").unwrap_or(text);
    if matches!(text, b"Z" | b"z" | b"UTC" | b"GMT") {
        return Some(0);
    }
    let (sign, digits) = match text.first()? {
        b'+' => (1, &text[1..]),
        b'-' => (-1, &text[1..]),
        _ => return None,
    };
    let (hours, minutes) = match digits.len() {
        2 => (number(digits)?, 0),
        4 => (number(&digits[..2])?, number(&digits[2..])?),
        5 if digits[2] == b':' => (number(&digits[..2])?, number(&digits[3..])?),
        _ => return None,
    };
    (hours <= 23 && minutes <= 59).then_some(sign * (hours * 3_600 + minutes * 60))
}

/// Days since 1970-01-01 of a date of the Gregorian calendar (Hinnant's days_from_civil); None if there is no such date.
fn civil_day(year: i64, month: i64, day: i64) -> Option<i64> {
    let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let last_day = match month {
        2 => 28 + i64::from(is_leap),
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return None,
    };
    if day < 1 || day > last_day {
        return None;
    }
    let shifted_year = if month <= 2 { year - 1 } else { year };
    let era = shifted_year.div_euclid(400);
    let year_of_era = shifted_year.rem_euclid(400);
    let month_from_march = (month + 9) % 12;
    let day_of_year = (153 * month_from_march + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    Some(era * 146_097 + day_of_era - 719_468)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(unit: TimeUnit, text: &str) -> Option<i64> {
        let layout = TimeLayout {
            column: "t".into(),
            unit,
            local: false,
        };
        TimeReader::new(&layout).read(text.as_bytes())
    }

    #[test]
    fn integers_are_read_in_their_unit() {
        assert_eq!(read(TimeUnit::S, "1700000000"), Some(1_700_000_000_000_000_000));
        assert_eq!(read(TimeUnit::Ms, "1700000000123"), Some(1_700_000_000_123_000_000));
        assert_eq!(read(TimeUnit::Us, "1700000000123456"), Some(1_700_000_000_123_456_000));
        assert_eq!(
            read(TimeUnit::Ns, "1700000000123456789"),
            Some(1_700_000_000_123_456_789)
        );
        assert_eq!(read(TimeUnit::Ms, "-1"), Some(-1_000_000));
    }

    #[test]
    fn fractions_are_exact_and_cut_below_a_nanosecond() {
        assert_eq!(
            read(TimeUnit::S, "1700000000.123456789"),
            Some(1_700_000_000_123_456_789)
        );
        assert_eq!(
            read(TimeUnit::S, "1700000000.1234567899"),
            Some(1_700_000_000_123_456_789)
        );
        assert_eq!(read(TimeUnit::Ms, "1700000000123.25"), Some(1_700_000_000_123_250_000));
        assert_eq!(read(TimeUnit::S, "1.7e9"), Some(1_700_000_000_000_000_000));
        assert_eq!(read(TimeUnit::Ns, "1.5"), Some(1));
        assert_eq!(read(TimeUnit::Ns, "1.5e-3"), None);
    }

    #[test]
    fn a_time_in_the_wrong_unit_never_panics() {
        assert_eq!(read(TimeUnit::S, "1700000000123456789"), None);
        assert_eq!(read(TimeUnit::S, "9999999999999999999"), None);
        assert_eq!(read(TimeUnit::Ms, "99999999999999999999999"), None);
        assert_eq!(read(TimeUnit::Ns, "1700000000"), Some(1_700_000_000));
        for text in ["", "-", "nan", "inf", "2024-01-01", "1700000000 ", "0x10", "--1"] {
            assert_eq!(read(TimeUnit::Ms, text), None, "{text}");
        }
    }

    #[test]
    fn iso_times_are_read_in_every_written_form() {
        let expected = Some(1_640_991_660_000_000_000); // 2021-12-31 23:01:00 UTC
        for text in [
            "2021-12-31 23:01:00.000000",
            "2021-12-31T23:01:00Z",
            "2021-12-31T23:01Z",
            "2021-12-31 23:01",
            "2021/12/31 23:01:00",
            "20211231 23:01:00",
            "2021-12-31 23:01:00 UTC",
            "2021-12-31 23:01:00+00:00",
            "2021-12-31T18:01:00-05:00",
            "2021-12-31T18:01:00-0500",
            "2022-01-01T00:01:00.000000000000+01",
        ] {
            assert_eq!(read(TimeUnit::Iso, text), expected, "{text}");
        }
        assert_eq!(read(TimeUnit::Iso, "1970-01-01"), Some(0));
        assert_eq!(read(TimeUnit::Iso, "19700102"), Some(86_400_000_000_000));
        assert_eq!(read(TimeUnit::Iso, "1969-12-31T23:59:59.999999999Z"), Some(-1));
        assert_eq!(read(TimeUnit::Iso, "2000-02-29"), Some(951_782_400_000_000_000));
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for text in [
            "",
            "2021",
            "2021-13-01",
            "2021-02-29",
            "1900-02-29",
            "2021-00-10",
            "2021-01-32",
            "2021-01-01T",
            "2021-01-01T24:00:00",
            "2021-01-01T23:60:00",
            "2021-01-01T23:59:60",
            "2021-01-01T23:59:59.",
            "2021-01-01T23:59:59.5X",
            "2021-01-01X23:59:59",
            "2021-01/01",
            "01.02.2021",
            "01/02/2021",
            "2021-01-01T23:59:59+24:00",
            "9999-01-01",
            "0001-01-01",
            "2021-1-1 10:00",
            "\u{0662}021-01-01",
        ] {
            assert_eq!(read(TimeUnit::Iso, text), None, "{text}");
        }
    }

    #[test]
    fn a_local_column_refuses_texts_that_state_an_offset() {
        let layout = TimeLayout {
            column: "t".into(),
            unit: TimeUnit::Iso,
            local: true,
        };
        let mut reader = TimeReader::new(&layout);
        assert_eq!(reader.read(b"1970-01-01 00:00:01"), Some(NS_PER_SECOND));
        assert_eq!(reader.read(b"1970-01-01 00:00:01Z"), None);
    }
}
