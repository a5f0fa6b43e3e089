//! Arithmetic on money: the named roundings of a division, powers of ten, narrowing. Both engines share their table of cases.
//! May not live here: floats, or anything that knows what the numbers mean.

/// The largest exponent whose power of ten fits an i128.
pub const POW10_EXPONENT_MAX: u32 = 38;

/// 10^exponent. Panics above [`POW10_EXPONENT_MAX`]; see [`checked_pow10`].
pub const fn pow10(exponent: u32) -> i128 {
    assert!(exponent <= POW10_EXPONENT_MAX, "the power of ten does not fit an i128");
    10_i128.pow(exponent)
}

/// 10^exponent, or None where it does not fit.
pub const fn checked_pow10(exponent: u32) -> Option<i128> {
    10_i128.checked_pow(exponent)
}

/// The quotient and the remainder of the division that rounds down: n = quotient * d + remainder, 0 <= remainder < d.
const fn divide(n: i128, d: i128) -> (i128, i128) {
    assert!(d > 0, "a divisor must be positive");
    (n.div_euclid(d), n.rem_euclid(d))
}

/// n / d rounded towards minus infinity. Panics if d <= 0.
pub const fn div_floor(n: i128, d: i128) -> i128 {
    divide(n, d).0
}

/// n / d rounded towards plus infinity. Panics if d <= 0.
pub const fn div_ceil(n: i128, d: i128) -> i128 {
    let (quotient, remainder) = divide(n, d);
    if remainder > 0 {
        quotient + 1
    } else {
        quotient
    }
}

/// n / d rounded to the nearest integer, a tie to the even one. Panics if d <= 0.
pub const fn div_half_even(n: i128, d: i128) -> i128 {
    let (quotient, remainder) = divide(n, d);
    // remainder against d - remainder, not 2 * remainder against d: the double may overflow.
    let rest = d - remainder;
    if remainder > rest || (remainder == rest && quotient & 1 != 0) {
        quotient + 1
    } else {
        quotient
    }
}

/// floor(n / d + 1/2): the nearest integer, a tie to the greater one, also for negative n. Panics if d <= 0.
pub const fn div_half_up(n: i128, d: i128) -> i128 {
    let (quotient, remainder) = divide(n, d);
    if remainder >= d - remainder {
        quotient + 1
    } else {
        quotient
    }
}

/// The same value as an i64, or None where it does not fit.
pub const fn narrow(value: i128) -> Option<i64> {
    if value < i64::MIN as i128 || value > i64::MAX as i128 {
        None
    } else {
        Some(value as i64)
    }
}

/// The nearest float; by the machine's own conversion where the number fits, which rounds alike.
#[inline]
pub fn float(number: i128) -> f64 {
    match i64::try_from(number) {
        Ok(number) => number as f64,
        Err(_) => wide_float(number),
    }
}

/// Out of line: in line the compiler sees that both conversions agree, and makes one of them, the slow one.
#[cold]
#[inline(never)]
fn wide_float(number: i128) -> f64 {
    number as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    const CASES: &str = include_str!("../tests/data/rounding_cases.csv");

    #[test]
    fn roundings_agree_with_the_shared_table() {
        let mut lines = CASES.lines();
        assert_eq!(lines.next(), Some("n,d,floor,ceil,half_even,half_up"));
        let mut rows = 0;
        for line in lines {
            let row: Vec<i128> = line
                .split(',')
                .map(|field| field.parse().expect("an integer"))
                .collect();
            let [n, d, floor, ceil, half_even, half_up] = row[..] else {
                panic!("six fields: {line}")
            };
            assert_eq!(div_floor(n, d), floor, "floor: {line}");
            assert_eq!(div_ceil(n, d), ceil, "ceil: {line}");
            assert_eq!(div_half_even(n, d), half_even, "half_even: {line}");
            assert_eq!(div_half_up(n, d), half_up, "half_up: {line}");
            rows += 1;
        }
        assert!(rows >= 60, "only {rows} cases");
    }

    #[test]
    fn roundings_bracket_the_quotient() {
        for n in -40..=40 {
            for d in 1..=9 {
                let (low, high) = (div_floor(n, d), div_ceil(n, d));
                assert!(low * d <= n && n <= high * d && high - low <= 1);
                for nearest in [div_half_even(n, d), div_half_up(n, d)] {
                    assert!(2 * (nearest * d - n).abs() <= d, "{n} / {d} is not {nearest}");
                }
                assert_eq!(div_half_even(-n, d), -div_half_even(n, d));
                assert_eq!(div_half_up(n, d), div_floor(2 * n + d, 2 * d));
            }
        }
    }

    #[test]
    #[should_panic(expected = "a divisor must be positive")]
    fn zero_divides_nothing() {
        div_floor(1, 0);
    }

    #[test]
    #[should_panic(expected = "a divisor must be positive")]
    fn a_negative_divisor_is_refused() {
        div_half_up(1, -2);
    }

    #[test]
    fn powers_of_ten_end_at_thirty_eight() {
        assert_eq!(pow10(0), 1);
        assert_eq!(pow10(18), 1_000_000_000_000_000_000);
        assert_eq!(checked_pow10(POW10_EXPONENT_MAX), Some(pow10(POW10_EXPONENT_MAX)));
        assert_eq!(checked_pow10(POW10_EXPONENT_MAX + 1), None);
    }

    #[test]
    fn narrowing_is_exact_or_refused() {
        assert_eq!(narrow(i64::MAX as i128), Some(i64::MAX));
        assert_eq!(narrow(i64::MIN as i128), Some(i64::MIN));
        assert_eq!(narrow(i64::MAX as i128 + 1), None);
        assert_eq!(narrow(i64::MIN as i128 - 1), None);
    }
}
