//! Durations as people write them, for messages: 7,000,000,000 ns is "7s".
//! May not live here: reading them; the run file comes with ns (replay/units.py).

const UNITS: [(i64, &str); 6] = [
    (86_400_000_000_000, "d"),
    (3_600_000_000_000, "h"),
    (60_000_000_000, "m"),
    (1_000_000_000, "s"),
    (1_000_000, "ms"),
    (1_000, "us"),
];

/// Nanoseconds in the largest single unit up to days that is exact, as `replay.units.format_duration` writes them:
/// 90 s is "90s", 120 s is "2m".
pub fn format(duration_ns: i64) -> String {
    if duration_ns == 0 {
        return "0s".into();
    }
    match UNITS.iter().find(|(unit_ns, _)| duration_ns % unit_ns == 0) {
        Some((unit_ns, name)) => format!("{}{name}", duration_ns / unit_ns),
        None => format!("{duration_ns}ns"),
    }
}

#[cfg(test)]
mod tests {
    use super::format;

    #[test]
    fn a_duration_is_written_in_the_largest_unit_that_is_exact() {
        let cases = [
            (0, "0s"),
            (1, "1ns"),
            (1_500, "1500ns"),
            (250_000, "250us"),
            (7_000_000_000, "7s"),
            (90_000_000_000, "90s"),
            (120_000_000_000, "2m"),
            (86_400_000_000_000, "1d"),
            (-60_000_000_000, "-1m"),
            (i64::MIN, "-9223372036854775808ns"),
        ];
        for (duration_ns, text) in cases {
            assert_eq!(format(duration_ns), text);
        }
    }
}
