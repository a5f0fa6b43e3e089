//! Known-good results of others: indicator columns and bars, KNOWN_GOOD I01 to I22, D08 and D09, with their tolerances.
//! May not live here: expected numbers of our own making.
//!
//! The data are not part of the project: the folder is $REPLAY_TEST_DATA, else ../shared/data beside it. A test whose data
//! or unpacking program is missing prints the reason and checks nothing.

use std::path::{Path, PathBuf};
use std::process::Command;

use replay_core::arith::pow10;
use replay_core::bars::{Bar, TimeBars};
use replay_core::decimal::{from_f64_shortest, parse, parse_rounded};
use replay_core::indicators::{Divisor, FirstRange, Indicator, Scale, Seed, Spec, Start};
use replay_core::record::BarPrice;

/// Decimals at which the price files are read; their prices have no more.
const DECIMALS: u32 = 6;
const SECOND_NS: i64 = 1_000_000_000;

// ------------------------------------------------------------------ reading

fn data_file(name: &str) -> Option<PathBuf> {
    let folder = match std::env::var_os("REPLAY_TEST_DATA") {
        Some(folder) => PathBuf::from(folder),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data"),
    };
    let path = folder.join(name);
    if !path.is_file() {
        println!(
            "skipped: {} is not there; set REPLAY_TEST_DATA to the folder of market data",
            path.display()
        );
        return None;
    }
    Some(path)
}

/// The text of a file of the data folder, unpacked if its name says so. None, with the reason printed: it cannot be had.
fn text(name: &str) -> Option<String> {
    let path = data_file(name)?;
    let mut unpack = match path.extension().and_then(|extension| extension.to_str()) {
        Some("gz") => Command::new("gzip"),
        Some("zip") => Command::new("unzip"),
        _ => return Some(std::fs::read_to_string(&path).expect("a text file")),
    };
    let flags = if name.ends_with(".gz") { "-dc" } else { "-p" };
    match unpack.arg(flags).arg(&path).output() {
        Ok(output) => {
            assert!(output.status.success(), "{} is damaged", path.display());
            Some(String::from_utf8(output.stdout).expect("a text file"))
        }
        Err(error) => {
            println!(
                "skipped: {:?} cannot be run to unpack {}: {error}",
                unpack.get_program(),
                path.display()
            );
            None
        }
    }
}

/// A file's rows with the names of its columns.
struct Table {
    names: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl Table {
    fn read(name: &str) -> Option<Table> {
        let text = text(name)?;
        let mut rows = text.lines().filter(|line| !line.is_empty()).map(|line| {
            line.split(',')
                .map(|field| field.trim_matches('"').to_string())
                .collect::<Vec<_>>()
        });
        Some(Table {
            names: rows.next().expect("a header"),
            rows: rows.collect(),
        })
    }

    fn cells(&self, name: &str) -> impl Iterator<Item = &str> {
        let index = self
            .names
            .iter()
            .position(|one| one == name)
            .unwrap_or_else(|| panic!("no column {name}"));
        self.rows.iter().map(move |row| row[index].as_str())
    }

    /// A column of prices as integers at [`DECIMALS`].
    fn prices(&self, name: &str) -> Vec<i64> {
        self.cells(name)
            .map(|cell| parse(cell, DECIMALS).unwrap_or_else(|error| panic!("{cell}: {error}")))
            .collect()
    }

    /// A column of expected values; an empty cell has none.
    fn expected(&self, name: &str) -> Vec<Option<f64>> {
        self.cells(name)
            .map(|cell| (!cell.is_empty()).then(|| cell.parse().expect("a number")))
            .collect()
    }

    fn bars(&self) -> Bars {
        let find = |name: &str| {
            self.names
                .iter()
                .find(|one| one.eq_ignore_ascii_case(name))
                .expect("a price column")
        };
        Bars {
            high: self.prices(find("high")),
            low: self.prices(find("low")),
            close: self.prices(find("close")),
        }
    }
}

struct Bars {
    high: Vec<i64>,
    low: Vec<i64>,
    close: Vec<i64>,
}

impl Bars {
    fn of_closes(close: Vec<i64>) -> Bars {
        Bars {
            high: close.clone(),
            low: close.clone(),
            close,
        }
    }

    /// The indicator's value after each bar.
    fn values(&self, spec: Spec) -> Vec<Option<f64>> {
        let mut indicator = Indicator::new(spec, Scale::new(DECIMALS, false).unwrap()).unwrap();
        (0..self.close.len())
            .map(|index| {
                indicator.update_bar(self.high[index], self.low[index], self.close[index]);
                indicator.value()
            })
            .collect()
    }

    /// The mean of 20 closes plus `width` deviations of them.
    fn bollinger(&self, width: f64) -> Vec<Option<f64>> {
        let middle = self.values(Spec::Sma { period: 20 });
        let deviation = self.values(Spec::Deviation {
            period: 20,
            divisor: Divisor::Population,
        });
        middle
            .iter()
            .zip(&deviation)
            .map(|(middle, deviation)| Some((*middle)? + width * (*deviation)?))
            .collect()
    }
}

// ------------------------------------------------------------------ comparing

fn assert_close(value: f64, expected: f64, tolerance: f64, place: impl std::fmt::Display) {
    assert!(
        (value - expected).abs() <= tolerance,
        "{place}: {value} is not {expected} within {tolerance}"
    );
}

fn assert_points(values: &[Option<f64>], first_index: usize, points: &[(usize, f64)], tolerance: f64) {
    assert_eq!(
        values.iter().position(Option::is_some),
        Some(first_index),
        "index of the first value"
    );
    for &(index, expected) in points {
        assert_close(
            values[index].expect("a value"),
            expected,
            tolerance,
            format!("index {index}"),
        );
    }
}

/// Compares a whole column from `first_index` on; gives the number of values compared.
fn assert_column(values: &[Option<f64>], expected: &[Option<f64>], first_index: usize, tolerance: f64) -> usize {
    assert_eq!(values.len(), expected.len());
    let mut compared = 0;
    for (index, (value, expected)) in values.iter().zip(expected).enumerate().skip(first_index) {
        if let Some(expected) = *expected {
            assert_close(value.expect("a value"), expected, tolerance, format!("index {index}"));
            compared += 1;
        }
    }
    compared
}

// ------------------------------------------------------------------ TA-Lib

fn talib() -> Option<(Bars, Table)> {
    let prices = Table::read("known-good-series/talib/ta_regtest_daily_ref_252.csv")?;
    let expected = Table::read("known-good-series/talib/talib_expected_open.csv")?;
    Some((prices.bars(), expected))
}

/// The published values to two decimals, and all rows of the program's own output to its ten digits.
fn assert_talib(spec: Spec, name: &str, published: &[(usize, f64)], published_tolerance: f64) {
    let Some((bars, table)) = talib() else { return };
    let values = bars.values(spec);
    let expected = table.expected(name);
    let first_index = expected.iter().position(Option::is_some).expect("a value");
    assert_points(&values, first_index, published, published_tolerance);
    assert_eq!(assert_column(&values, &expected, first_index, 6e-8), 252 - first_index);
}

#[test]
fn i01_sma_30_of_ta_lib() {
    let published = [
        (29, 90.42),
        (30, 90.21),
        (31, 89.96),
        (58, 87.12),
        (250, 107.95),
        (251, 108.42),
    ];
    assert_talib(Spec::Sma { period: 30 }, "SMA_30", &published, 0.01);
}

#[test]
fn i02_ema_10_of_ta_lib_is_seeded_by_the_mean() {
    let published = [(9, 93.22), (10, 93.75), (29, 86.46), (251, 108.97)];
    assert_talib(
        Spec::Ema {
            period: 10,
            seed: Seed::Mean,
        },
        "EMA_10",
        &published,
        0.01,
    );
}

#[test]
fn i04_rsi_14_of_ta_lib() {
    let published = [(14, 49.14), (15, 52.32), (16, 46.07), (251, 49.63)];
    assert_talib(
        Spec::Rsi {
            period: 14,
            start: Start::Mean,
        },
        "RSI_14",
        &published,
        0.01,
    );
}

#[test]
fn i05_bollinger_20_2_of_ta_lib_is_a_mean_and_a_deviation() {
    let Some((bars, table)) = talib() else { return };
    for (width, name, first, last) in [
        (2.0, "BB_20_2_upper", 98.0734, 116.599992),
        (0.0, "BB_20_2_mid", 92.8910, 110.570000),
        (-2.0, "BB_20_2_lower", 87.7086, 104.540008),
    ] {
        assert_points(&bars.bollinger(width), 19, &[(19, first)], 5e-5);
        assert_points(&bars.bollinger(width), 19, &[(251, last)], 5e-7);
        assert_eq!(
            assert_column(&bars.bollinger(width), &table.expected(name), 19, 6e-8),
            233
        );
    }
}

#[test]
fn i09_atr_14_of_ta_lib_begins_with_the_second_bar() {
    let published = [(14, 3.578214), (15, 3.4876), (251, 3.260809)];
    assert_talib(
        Spec::Atr {
            period: 14,
            first_range: FirstRange::Skip,
        },
        "ATR_14",
        &published,
        5e-5,
    );
    let published = [(1, 3.535), (13, 9.685), (41, 5.125), (251, 2.88)];
    assert_talib(
        Spec::Atr {
            period: 1,
            first_range: FirstRange::Skip,
        },
        "TRANGE",
        &published,
        1e-9,
    );
}

#[test]
fn i13_standard_deviation_5_of_ta_lib_is_of_a_population() {
    let Some((bars, _)) = talib() else { return };
    let values = bars.values(Spec::Deviation {
        period: 5,
        divisor: Divisor::Population,
    });
    assert_points(&values, 4, &[(4, 1.2856), (5, 0.4462), (251, 0.7144)], 1e-4);
}

// ------------------------------------------------------------------ backtrader

#[test]
fn i16_sma_ema_rsi_atr_and_bollinger_of_backtrader() {
    let Some(table) = Table::read("backtrader-datas/2006-day-001.txt.gz") else {
        return;
    };
    let bars = table.bars();
    assert_eq!(bars.close.len(), 255);
    // Published at the last bar, the first that is valid, and one between (the source counts back from the end).
    let assert_three = |values: &[Option<f64>], first: usize, [at_last, at_first, between]: [f64; 3]| {
        let middle = (254 + (first as i64 + 1 - 255).div_euclid(2)) as usize;
        assert_points(
            values,
            first,
            &[(254, at_last), (first, at_first), (middle, between)],
            1e-6,
        );
    };
    let sma = bars.values(Spec::Sma { period: 30 });
    assert_three(&sma, 29, [4063.463000, 3644.444667, 3554.693333]);
    let ema = bars.values(Spec::Ema {
        period: 30,
        seed: Seed::Mean,
    });
    assert_three(&ema, 29, [4070.115719, 3644.444667, 3581.728712]);
    let rsi = bars.values(Spec::Rsi {
        period: 14,
        start: Start::Mean,
    });
    assert_three(&rsi, 14, [57.644284, 41.630968, 53.352553]);
    let atr = bars.values(Spec::Atr {
        period: 14,
        first_range: FirstRange::Skip,
    });
    assert_three(&atr, 14, [35.866308, 34.264286, 54.329064]);
    assert_three(&bars.bollinger(0.0), 19, [4065.884, 3621.185, 3582.8955]);
    assert_three(&bars.bollinger(2.0), 19, [4190.782310, 3712.008864, 3709.453081]);
    assert_three(&bars.bollinger(-2.0), 19, [3940.985690, 3530.361136, 3456.337919]);
}

// ------------------------------------------------------------------ charting vendors

/// Rows after which a vendor's export no longer shows where its own history began.
const VENDOR_WARM_UP: usize = 100;

#[test]
fn i18_sma_14_ema_14_and_rsi_14_of_a_charting_vendor() {
    let Some(table) = Table::read("known-good-series/Lean/spy_with_indicators.txt.gz") else {
        return;
    };
    let bars = Bars::of_closes(table.prices("Close"));
    let rows = bars.close.len() - VENDOR_WARM_UP;
    assert!(rows > 300);
    for (name, spec, tolerance) in [
        ("SMA14", Spec::Sma { period: 14 }, 0.006),
        (
            "EMA14",
            Spec::Ema {
                period: 14,
                seed: Seed::Mean,
            },
            0.006,
        ),
        (
            "EMA14",
            Spec::Ema {
                period: 14,
                seed: Seed::FirstPrice,
            },
            0.006,
        ),
        (
            "RSI 14 Wilder",
            Spec::Rsi {
                period: 14,
                start: Start::Mean,
            },
            6e-6,
        ),
    ] {
        let values = bars.values(spec);
        assert_eq!(
            assert_column(&values, &table.expected(name), VENDOR_WARM_UP, tolerance),
            rows,
            "{name}"
        );
    }
}

#[test]
fn i18_atr_14_of_a_charting_vendor() {
    let Some(table) = Table::read("known-good-series/Lean/spy_atr_wilder.txt.gz") else {
        return;
    };
    let bars = table.bars();
    let expected = table.expected("Average True Range 14");
    for first_range in [FirstRange::HighLow, FirstRange::Skip] {
        let values = bars.values(Spec::Atr {
            period: 14,
            first_range,
        });
        let rows = assert_column(&values, &expected, VENDOR_WARM_UP, 6e-5);
        assert_eq!(rows, bars.close.len() - VENDOR_WARM_UP);
        assert!(rows > 300);
    }
}

#[test]
fn i18_bollinger_20_2_of_a_charting_vendor() {
    let Some(table) = Table::read("known-good-series/Lean/spy_bollinger_bands.txt.gz") else {
        return;
    };
    let bars = table.bars();
    let bands = [
        ("Moving Average 20", 0.0),
        ("Bollinger Bands® 20 2 Top", 2.0),
        ("Bollinger Bands® 20 2 Bottom", -2.0),
    ];
    for (name, width) in bands {
        // The export cuts some of its four decimals off rather than rounding.
        let rows = assert_column(&bars.bollinger(width), &table.expected(name), VENDOR_WARM_UP, 1e-4);
        assert_eq!(rows, bars.close.len() - VENDOR_WARM_UP, "{name}");
        assert!(rows > 300);
    }
}

#[test]
fn i22_rsi_14_of_a_spreadsheet_starts_its_smoothing_from_zero() {
    let Some(table) = Table::read("known-good-series/ta/cs-rsi.csv") else {
        return;
    };
    let bars = Bars::of_closes(table.prices("Close"));
    let values = bars.values(Spec::Rsi {
        period: 14,
        start: Start::Zero,
    });
    let expected = table.expected("RSI");
    assert_points(&values, 14, &[(14, 71.862114), (bars.close.len() - 1, 35.489326)], 5e-7);
    assert_eq!(assert_column(&values, &expected, 14, 5e-7), bars.close.len() - 14);
}

#[test]
fn i22_atr_14_of_a_spreadsheet_begins_with_the_first_bar() {
    let Some(table) = Table::read("known-good-series/ta/cs-atr.csv") else {
        return;
    };
    let bars = table.bars();
    let values = bars.values(Spec::Atr {
        period: 14,
        first_range: FirstRange::HighLow,
    });
    let last = bars.close.len() - 1;
    assert_points(
        &values,
        13,
        &[(13, 0.555), (14, 0.5939285714), (last, 1.316482269)],
        5e-10,
    );
    assert_eq!(assert_column(&values, &table.expected("ATR"), 13, 5e-10), last - 12);
}

// ------------------------------------------------------------------ bars

/// Adds (time, price, size) to the builder as an engine does: what is due closes first.
fn build(bars: &mut TimeBars, ticks: impl Iterator<Item = (i64, i64, i64)>) -> Vec<Bar> {
    let mut built = Vec::new();
    for (time_ns, price, size) in ticks {
        if bars.next_boundary().is_some_and(|boundary| boundary <= time_ns) {
            built.extend(bars.close());
        }
        bars.add_trade(time_ns, time_ns, price, size);
    }
    built.extend(bars.close());
    assert_eq!(bars.late(), 0);
    built
}

/// The time of day of "2012-06-21 09:30:00.017460000", in ns.
fn time_of_day_ns(stamp: &str) -> i64 {
    let clock = stamp.split(' ').nth(1).expect("a date and a time");
    let mut parts = clock.split(':').map(|part| parse(part, 9).expect("a number"));
    let mut next = || parts.next().expect("hours, minutes and seconds");
    next() * 3600 + next() * 60 + next()
}

#[test]
fn d09_four_second_bars_of_amzn_trades() {
    let (Some(trades), Some(expected)) = (
        Table::read("information-bars/bar_test_data.csv.gz"),
        Table::read("information-bars/time_bar.csv.gz"),
    ) else {
        return;
    };
    let open_ns = (9 * 60 + 30) * 60 * SECOND_NS;
    let mut bars = TimeBars::aligned(4 * SECOND_NS, BarPrice::Trade, open_ns).unwrap();
    let integer = |cell: &str| parse(cell, 0).expect("an integer");
    let ticks = trades
        .rows
        .iter()
        .map(|row| (time_of_day_ns(&row[0]), integer(&row[1]), integer(&row[2])));
    let built = build(&mut bars, ticks);
    let found: Vec<[i64; 6]> = built
        .iter()
        .map(|bar| {
            [
                (bar.end_ns - open_ns) / SECOND_NS,
                bar.high,
                bar.low,
                bar.open,
                bar.close,
                bar.volume,
            ]
        })
        .collect();
    let expected: Vec<[i64; 6]> = expected
        .rows
        .iter()
        .map(|row| std::array::from_fn(|column| integer(&row[column + 1])))
        .collect();
    assert_eq!(found, expected);
    assert_eq!(found.len(), 2226);
    assert_eq!(found.iter().map(|bar| bar[5]).sum::<i64>(), 810_755);
    assert_eq!(
        built.iter().map(|bar| bar.ticks as usize).sum::<usize>(),
        trades.rows.len()
    );
}

/// Rows of a LEAN bar file within regular hours: ms of the day at which the bar starts, open, high, low, close, volume.
fn lean_bars(name: &str) -> Option<Vec<[i64; 6]>> {
    let regular = (9 * 60 + 30) * 60_000..16 * 60 * 60_000;
    let rows = text(name)?
        .lines()
        .map(lean_row)
        .filter(|row| regular.contains(&row[0]))
        .collect();
    Some(rows)
}

fn lean_row(line: &str) -> [i64; 6] {
    let mut cells = line.split(',').map(|cell| parse(cell, 0).expect("an integer"));
    std::array::from_fn(|_| cells.next().expect("six fields"))
}

#[test]
fn d08_minute_bars_of_spy_from_its_second_bars() {
    for (day, equal_volumes) in [("20131007", 332), ("20131008", 357)] {
        let file = |length: &str| lean_bars(&format!("lean-equity-bars/equity/usa/{length}/spy/{day}_trade.zip"));
        let (Some(seconds), Some(minutes)) = (file("second"), file("minute")) else {
            return;
        };
        // A second is told by four ticks; the last one carries its volume.
        let ticks = seconds.iter().flat_map(|&[start, open, high, low, close, volume]| {
            [(open, 0), (high, 0), (low, 0), (close, volume)].map(|(price, size)| (start * 1_000_000, price, size))
        });
        let mut bars = TimeBars::new(60 * SECOND_NS, BarPrice::Trade).unwrap();
        let found: Vec<[i64; 6]> = build(&mut bars, ticks)
            .iter()
            .map(|bar| {
                [
                    bar.start_ns / 1_000_000,
                    bar.open,
                    bar.high,
                    bar.low,
                    bar.close,
                    bar.volume,
                ]
            })
            .collect();
        assert_eq!(found.len(), 390);
        let prices = |rows: &[[i64; 6]]| rows.iter().map(|row| row[..5].to_vec()).collect::<Vec<_>>();
        assert_eq!(prices(&found), prices(&minutes));
        assert_eq!(
            found
                .iter()
                .zip(&minutes)
                .filter(|(found, minute)| found[5] == minute[5])
                .count(),
            equal_volumes
        );
    }
}

// ------------------------------------------------------------------ numbers

#[test]
fn every_price_of_the_files_goes_to_a_float_and_back() {
    for (name, column) in [
        ("known-good-series/talib/ta_regtest_daily_ref_252.csv", "close"),
        ("known-good-series/Lean/spy_with_indicators.txt.gz", "Close"),
        ("known-good-series/ta/cs-rsi.csv", "Close"),
    ] {
        let Some(table) = Table::read(name) else { return };
        for (cell, price) in table.cells(column).zip(table.prices(column)) {
            let float: f64 = cell.parse().unwrap();
            assert_eq!(price as f64 / pow10(DECIMALS) as f64, float);
            assert_eq!(from_f64_shortest(float, DECIMALS), Ok(price));
            assert_eq!(parse_rounded(cell, DECIMALS), Ok((price, false)));
        }
    }
}
