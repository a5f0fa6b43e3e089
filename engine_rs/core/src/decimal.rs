//! Decimal numbers: text and floats to integers on a scale, exactly, and back.
//! May not live here: roundings that are not named, or the meaning of a number (price, size, money).

use crate::arith::{checked_pow10, narrow, pow10};

/// Why something is not an integer on the scale.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DecimalError {
    /// There is no text.
    Empty,
    /// The text is not a decimal number.
    Syntax,
    /// NaN or an infinity, as text or as a float.
    NotFinite,
    /// The number has digits below the scale.
    ExcessDecimals,
    /// The integer on the scale does not fit its type.
    Overflow,
}

impl std::fmt::Display for DecimalError {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self {
            DecimalError::Empty => "it is empty",
            DecimalError::Syntax => "it is not a decimal number",
            DecimalError::NotFinite => "it is not finite",
            DecimalError::ExcessDecimals => "it has more decimals than the scale",
            DecimalError::Overflow => "it is too large",
        })
    }
}

impl std::error::Error for DecimalError {}

/// Digits up to which an integer fits an i64 whatever they are.
const SAFE_DIGITS: usize = 18;
/// Exponents beyond this are cut off; digits and scales are far below it.
const EXPONENT_LIMIT: i64 = 1 << 40;

/// An integer on the scale, and whether digits below it were rounded away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Scaled {
    value: i128,
    rounded: bool,
}

/// Decimal text as text * 10^decimals, exactly.
///
/// The text is `[+-]digits[.digits][e[+-]digits]`; digits may be missing on one side of the point. Zeros below the scale
/// are no excess. The result is never `i64::MIN`, which stands for an absent number elsewhere.
///
/// Errors: every [`DecimalError`].
pub fn parse(text: impl AsRef<[u8]>, decimals: u32) -> Result<i64, DecimalError> {
    let text = text.as_ref();
    if let Some(value) = parse_short(text, decimals) {
        return Ok(value);
    }
    narrow_symmetric(parse_i128(text, decimals)?)
}

/// As [`parse`], for money and other wide numbers.
pub fn parse_i128(text: impl AsRef<[u8]>, decimals: u32) -> Result<i128, DecimalError> {
    let scaled = scan(text.as_ref(), decimals)?;
    if scaled.rounded {
        return Err(DecimalError::ExcessDecimals);
    }
    Ok(scaled.value)
}

/// As [`parse`], but digits below the scale are rounded to the nearest integer, ties to even; true says that they were.
pub fn parse_rounded(text: impl AsRef<[u8]>, decimals: u32) -> Result<(i64, bool), DecimalError> {
    let text = text.as_ref();
    if let Some(value) = parse_short(text, decimals) {
        return Ok((value, false));
    }
    let scaled = scan(text, decimals)?;
    Ok((narrow_symmetric(scaled.value)?, scaled.rounded))
}

/// The integer whose decimal on the scale is the float's shortest form (the one that Python and Rust print).
///
/// 0.1 at one decimal is 1, although the float is not a tenth; 0.1 + 0.2 at one decimal is an error, since it prints
/// 0.30000000000000004. Errors: `NotFinite`, `ExcessDecimals`, `Overflow`.
pub fn from_f64_shortest(value: f64, decimals: u32) -> Result<i64, DecimalError> {
    if !value.is_finite() {
        return Err(DecimalError::NotFinite);
    }
    // A decimal of at most 15 digits that reads back as this float is its shortest form: no two of them are one float.
    if decimals <= 22 {
        let unit = pow10(decimals) as f64;
        let candidate = (value * unit).round();
        if candidate.abs() < 1e15 && candidate / unit == value {
            return Ok(candidate as i64);
        }
    }
    parse(format!("{value:e}"), decimals)
}

/// The price or size that a strategy sees: f64(raw) / f64(10^decimals).
pub fn to_f64(raw: i64, decimals: u32) -> f64 {
    raw as f64 / pow10(decimals) as f64
}

/// The number without trailing zeros: 1500 at three decimals is "1.5".
pub fn format(raw: i128, decimals: u32) -> String {
    let mut text = format_fixed(raw, decimals);
    if decimals > 0 {
        let kept = text.trim_end_matches('0').trim_end_matches('.').len();
        text.truncate(kept);
    }
    text
}

/// The number with all its decimals: 1500 at three decimals is "1.500".
pub fn format_fixed(raw: i128, decimals: u32) -> String {
    let decimals = decimals as usize;
    let digits = format!("{:0>width$}", raw.unsigned_abs(), width = decimals + 1);
    let (whole, fraction) = digits.split_at(digits.len() - decimals);
    let sign = if raw < 0 { "-" } else { "" };
    let point = if decimals > 0 { "." } else { "" };
    format!("{sign}{whole}{point}{fraction}")
}

fn narrow_symmetric(value: i128) -> Result<i64, DecimalError> {
    match narrow(value) {
        None | Some(i64::MIN) => Err(DecimalError::Overflow),
        Some(value) => Ok(value),
    }
}

/// The common case in one pass: few digits, no exponent, no more decimals than the scale. None: [`scan`] decides.
fn parse_short(text: &[u8], decimals: u32) -> Option<i64> {
    let (negative, digits) = match text.first()? {
        b'-' => (true, &text[1..]),
        _ => (false, text),
    };
    if digits.len() > SAFE_DIGITS + 1 {
        return None;
    }
    let mut value = 0_i64;
    let mut point = None;
    for (index, &byte) in digits.iter().enumerate() {
        let digit = byte.wrapping_sub(b'0');
        if digit <= 9 {
            // At most 19 digits; 19 of them without a point are left to the checked way.
            value = value.wrapping_mul(10).wrapping_add(digit as i64);
        } else if byte == b'.' && point.is_none() {
            point = Some(index);
        } else {
            return None;
        }
    }
    let (count, fraction) = match point {
        Some(index) => (digits.len() - 1, digits.len() - 1 - index),
        None => (digits.len(), 0),
    };
    let padding = (decimals as usize).checked_sub(fraction)?;
    if count == 0 || count + padding > SAFE_DIGITS {
        return None;
    }
    let value = value * pow10(padding as u32) as i64;
    Some(if negative { -value } else { value })
}

/// The general case: any number of digits, an exponent, rounding half even.
fn scan(text: &[u8], decimals: u32) -> Result<Scaled, DecimalError> {
    if text.is_empty() {
        return Err(DecimalError::Empty);
    }
    let (negative, unsigned) = match text[0] {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    if ["nan", "inf", "infinity"]
        .iter()
        .any(|name| unsigned.eq_ignore_ascii_case(name.as_bytes()))
    {
        return Err(DecimalError::NotFinite);
    }
    let (mantissa, exponent) = match unsigned.iter().position(|byte| matches!(byte, b'e' | b'E')) {
        Some(index) => (&unsigned[..index], scan_exponent(&unsigned[index + 1..])?),
        None => (unsigned, 0),
    };
    let point = mantissa.iter().position(|&byte| byte == b'.').unwrap_or(mantissa.len());
    let fraction = mantissa.get(point + 1..).unwrap_or(&[]);
    let mut digits = mantissa[..point].iter().chain(fraction).copied();
    let count = point + fraction.len();
    if count == 0 || !digits.clone().all(|byte| byte.is_ascii_digit()) {
        return Err(DecimalError::Syntax);
    }
    // The digits that stand above the scale; beyond the last digit they are zeros.
    let kept = point as i64 + exponent + decimals as i64;
    let padding = kept - count as i64;
    let mut magnitude = 0_i128;
    for digit in digits.by_ref().take(kept.max(0) as usize) {
        magnitude = magnitude
            .checked_mul(10)
            .and_then(|value| value.checked_add((digit - b'0') as i128))
            .ok_or(DecimalError::Overflow)?;
    }
    if padding > 0 && magnitude > 0 {
        let factor = u32::try_from(padding)
            .ok()
            .and_then(checked_pow10)
            .ok_or(DecimalError::Overflow)?;
        magnitude = magnitude.checked_mul(factor).ok_or(DecimalError::Overflow)?;
    }
    // With kept < 0 the first digit below the scale is a zero that is not written.
    let first = if kept >= 0 {
        digits.next().map_or(0, |digit| digit - b'0')
    } else {
        0
    };
    let more = digits.any(|digit| digit != b'0');
    if first > 5 || (first == 5 && (more || magnitude % 2 == 1)) {
        magnitude = magnitude.checked_add(1).ok_or(DecimalError::Overflow)?;
    }
    Ok(Scaled {
        value: if negative { -magnitude } else { magnitude },
        rounded: first > 0 || more,
    })
}

fn scan_exponent(text: &[u8]) -> Result<i64, DecimalError> {
    let (negative, digits) = match text.first() {
        Some(b'-') => (true, &text[1..]),
        Some(b'+') => (false, &text[1..]),
        _ => (false, text),
    };
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return Err(DecimalError::Syntax);
    }
    let magnitude = digits.iter().fold(0_i64, |value, digit| {
        (value * 10 + (digit - b'0') as i64).min(EXPONENT_LIMIT)
    });
    Ok(if negative { -magnitude } else { magnitude })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Rng;
    use DecimalError::*;

    #[test]
    fn text_becomes_the_integer_on_the_scale() {
        for (text, decimals, value) in [
            ("0", 0, 0),
            ("-0", 8, 0),
            ("1", 2, 100),
            ("+1.5", 2, 150),
            ("-1.5", 2, -150),
            ("12.30", 1, 123),
            ("12.3000000000000000000000000000", 1, 123),
            (".5", 1, 5),
            ("5.", 1, 50),
            ("007", 0, 7),
            ("0.00000001", 8, 1),
            ("1e-05", 5, 1),
            ("1.25E2", 0, 125),
            ("1.5e+3", 1, 15000),
            ("1200e-2", 0, 12),
            ("0e99999999999999999999", 0, 0),
            ("9223372036854775807", 0, i64::MAX),
            ("-9223372036854775807", 0, -i64::MAX),
            ("922337203685477.5807", 4, i64::MAX),
            ("000000000000000000000000000000000000000000000001", 0, 1),
            ("999999999999999999", 0, 999_999_999_999_999_999),
            ("1000000000000000000", 0, 1_000_000_000_000_000_000),
        ] {
            assert_eq!(parse(text, decimals), Ok(value), "{text} at {decimals}");
            assert_eq!(parse(text.as_bytes(), decimals), Ok(value), "{text} at {decimals}");
            assert_eq!(parse_i128(text, decimals), Ok(value as i128), "{text} at {decimals}");
            assert_eq!(
                parse_rounded(text, decimals),
                Ok((value, false)),
                "{text} at {decimals}"
            );
        }
    }

    #[test]
    fn what_is_not_a_number_on_the_scale_is_refused() {
        for (text, decimals, error) in [
            ("", 2, Empty),
            (".", 2, Syntax),
            ("-", 2, Syntax),
            ("+-1", 2, Syntax),
            (" 1", 2, Syntax),
            ("1 ", 2, Syntax),
            ("1,5", 2, Syntax),
            ("1.2.3", 2, Syntax),
            ("1e", 2, Syntax),
            ("e5", 2, Syntax),
            ("1e5e5", 2, Syntax),
            ("1_000", 2, Syntax),
            ("0x10", 2, Syntax),
            ("\u{0661}", 2, Syntax),
            ("NaN", 2, NotFinite),
            ("-inf", 2, NotFinite),
            ("Infinity", 2, NotFinite),
            ("0.015", 2, ExcessDecimals),
            ("1e-3", 2, ExcessDecimals),
            ("1e-99999999999999999999", 2, ExcessDecimals),
            ("9223372036854775808", 0, Overflow),
            ("-9223372036854775808", 0, Overflow),
            ("92233720368547758.08", 3, Overflow),
            ("1e19", 0, Overflow),
            ("1e99999999999999999999", 0, Overflow),
        ] {
            assert_eq!(parse(text, decimals), Err(error), "{text:?} at {decimals}");
        }
        assert_eq!(parse_i128("170141183460469231731687303715884105727", 0), Ok(i128::MAX));
        assert_eq!(parse_i128("170141183460469231731687303715884105728", 0), Err(Overflow));
    }

    #[test]
    fn rounding_is_half_even_and_says_so() {
        for (text, decimals, value, rounded) in [
            ("12.30000000001", 8, 1_230_000_000, true),
            ("0.5", 0, 0, true),
            ("1.5", 0, 2, true),
            ("2.5", 0, 2, true),
            ("2.50000000000000000000000001", 0, 3, true),
            ("-0.5", 0, 0, true),
            ("-1.5", 0, -2, true),
            ("0.0499999", 1, 0, true),
            ("0.05", 1, 0, true),
            ("0.051", 1, 1, true),
            ("5e-3", 1, 0, true),
            ("9.99", 1, 100, true),
            ("9.90", 1, 99, false),
        ] {
            assert_eq!(
                parse_rounded(text, decimals),
                Ok((value, rounded)),
                "{text} at {decimals}"
            );
        }
        assert_eq!(parse_rounded("9223372036854775807.5", 0), Err(Overflow));
        assert_eq!(parse_rounded("nan", 0), Err(NotFinite));
    }

    #[test]
    fn the_short_way_agrees_with_the_general_one() {
        let mut rng = Rng::new(1, 0);
        for _ in 0..20_000 {
            let length = 1 + rng.below(21);
            let text: String = (0..length)
                .map(|_| char::from(b"0123456789012345678901234567.-+"[rng.below(31) as usize]))
                .collect();
            let decimals = rng.below(20) as u32;
            let general = parse_i128(&text, decimals).and_then(narrow_symmetric);
            assert_eq!(parse(&text, decimals), general, "{text:?} at {decimals}");
        }
    }

    #[test]
    fn a_float_means_its_shortest_form() {
        for (value, decimals, raw) in [
            (0.1, 1, 1),
            (-0.07, 2, -7),
            (0.0, 0, 0),
            (-0.0, 3, 0),
            (43123.45, 2, 4_312_345),
            (1e-8, 8, 1),
            (1e15, 0, 1_000_000_000_000_000),
            (123456789012345.67, 2, 12_345_678_901_234_567),
            (1e18, 0, 1_000_000_000_000_000_000),
            (0.1, 18, 100_000_000_000_000_000),
        ] {
            assert_eq!(from_f64_shortest(value, decimals), Ok(raw), "{value} at {decimals}");
        }
        assert_eq!(from_f64_shortest(0.1 + 0.2, 1), Err(ExcessDecimals));
        assert_eq!(from_f64_shortest(0.015, 2), Err(ExcessDecimals));
        assert_eq!(from_f64_shortest(5e-324, 18), Err(ExcessDecimals));
        assert_eq!(from_f64_shortest(1e19, 0), Err(Overflow));
        assert_eq!(from_f64_shortest(f64::MAX, 18), Err(Overflow));
        for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            assert_eq!(from_f64_shortest(value, 2), Err(NotFinite));
        }
    }

    #[test]
    fn the_fast_way_for_floats_agrees_with_their_text() {
        let mut rng = Rng::new(2, 0);
        for _ in 0..20_000 {
            let decimals = rng.below(12) as u32;
            let raw = (rng.next_u64() >> rng.below(64)) as i64;
            let value = to_f64(raw, decimals);
            let neighbour = f64::from_bits(value.to_bits() + 1);
            for value in [value, -value, neighbour] {
                assert_eq!(
                    from_f64_shortest(value, decimals),
                    parse(value.to_string(), decimals),
                    "{value} at {decimals}"
                );
            }
        }
    }

    #[test]
    fn a_price_goes_to_a_float_and_back() {
        let mut rng = Rng::new(3, 0);
        for _ in 0..20_000 {
            let decimals = rng.below(9) as u32;
            let raw = rng.below(1_000_000_000_000_000) as i64 - 500_000_000_000_000;
            assert_eq!(from_f64_shortest(to_f64(raw, decimals), decimals), Ok(raw));
        }
        assert_eq!(to_f64(9042, 2), 90.42);
    }

    #[test]
    fn numbers_are_written_short_or_with_all_decimals() {
        for (raw, decimals, short, fixed) in [
            (0, 0, "0", "0"),
            (0, 2, "0", "0.00"),
            (1500, 3, "1.5", "1.500"),
            (100, 2, "1", "1.00"),
            (-5, 2, "-0.05", "-0.05"),
            (1200, 0, "1200", "1200"),
            (-1200, 1, "-120", "-120.0"),
            (
                i128::MIN,
                0,
                "-170141183460469231731687303715884105728",
                "-170141183460469231731687303715884105728",
            ),
        ] {
            assert_eq!(format(raw, decimals), short);
            assert_eq!(format_fixed(raw, decimals), fixed);
        }
        let mut rng = Rng::new(4, 0);
        for _ in 0..5_000 {
            let raw = (rng.next_u64() >> rng.below(64)) as i128 * if rng.below(2) == 0 { -1 } else { 1 };
            let decimals = rng.below(20) as u32;
            assert_eq!(parse_i128(format(raw, decimals), decimals), Ok(raw));
            assert_eq!(parse_i128(format_fixed(raw, decimals), decimals), Ok(raw));
        }
    }

    #[test]
    fn errors_read_as_the_end_of_a_sentence() {
        assert_eq!(
            format!("price {:?}: {}", "0.015", ExcessDecimals),
            "price \"0.015\": it has more decimals than the scale"
        );
    }
}
