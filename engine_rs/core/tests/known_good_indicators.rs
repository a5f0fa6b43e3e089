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
use replay_core::indicators::{Divisor, FirstRange, Indicator, MacdSeed, Scale, Seed, Span, Spec, Start, Weighed};
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
            open: Vec::new(),
            volume: Vec::new(),
        }
    }
}

struct Bars {
    high: Vec<i64>,
    low: Vec<i64>,
    close: Vec<i64>,
    /// Empty where they do not matter.
    open: Vec<i64>,
    volume: Vec<i64>,
}

impl Bars {
    fn of_closes(close: Vec<i64>) -> Bars {
        Bars {
            high: close.clone(),
            low: close.clone(),
            close,
            open: Vec::new(),
            volume: Vec::new(),
        }
    }

    /// The indicator's value after each bar.
    fn values(&self, spec: Spec) -> Vec<Option<f64>> {
        self.line(spec, 0)
    }

    /// The value of one of its lines after each bar.
    fn line(&self, spec: Spec, line: usize) -> Vec<Option<f64>> {
        let mut indicator = Indicator::new(spec, Scale::new(DECIMALS, false).unwrap()).unwrap();
        (0..self.close.len())
            .map(|index| {
                indicator.update(&Bar {
                    start_ns: 0,
                    end_ns: 0,
                    open: self.open.get(index).copied().unwrap_or(self.close[index]),
                    high: self.high[index],
                    low: self.low[index],
                    close: self.close[index],
                    volume: self.volume.get(index).copied().unwrap_or(0),
                    doubled: false,
                    ticks: 0,
                });
                indicator.line(line)
            })
            .collect()
    }

    /// A band of Bollinger(20, 2): 0 the middle, 1 the upper, 2 the lower one.
    fn bollinger(&self, line: usize) -> Vec<Option<f64>> {
        let spec = Spec::Bollinger {
            period: 20,
            width: 2.0,
            divisor: Divisor::Population,
        };
        self.line(spec, line)
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
fn i05_bollinger_20_2_of_ta_lib() {
    let Some((bars, table)) = talib() else { return };
    for (line, name, first, last) in [
        (1, "BB_20_2_upper", 98.0734, 116.599992),
        (0, "BB_20_2_mid", 92.8910, 110.570000),
        (2, "BB_20_2_lower", 87.7086, 104.540008),
    ] {
        assert_points(&bars.bollinger(line), 19, &[(19, first)], 5e-5);
        assert_points(&bars.bollinger(line), 19, &[(251, last)], 5e-7);
        assert_eq!(
            assert_column(&bars.bollinger(line), &table.expected(name), 19, 6e-8),
            233
        );
    }
}

#[test]
fn i06_macd_12_26_9_of_ta_lib_aligns_its_averages() {
    let Some((bars, table)) = talib() else { return };
    let spec = Spec::Macd {
        fast: 12,
        slow: 26,
        signal: 9,
        seed: MacdSeed::Aligned,
    };
    for (line, name, first, last) in [
        (0, "MACD_12_26_9", -1.9738, 0.904009),
        (1, "MACD_signal", -2.7071, 1.404594),
        (2, "MACD_hist", 0.7333, -0.500585),
    ] {
        let values = bars.line(spec, line);
        // Its own output begins where all three lines have a value.
        assert_eq!(assert_column(&values, &table.expected(name), 33, 6e-8), 219, "{name}");
        assert_close(values[33].unwrap(), first, 5e-5, name);
        assert_close(values[251].unwrap(), last, 5e-7, name);
    }
}

#[test]
fn i13_momentum_14_of_ta_lib() {
    let published = [(14, -0.50), (15, -2.00), (16, -5.22), (251, -1.13)];
    assert_talib(Spec::Momentum { period: 14 }, "MOM_14", &published, 0.01);
}

#[test]
fn i15_parabolic_sar_of_wilders_own_example() {
    let Some(table) = Table::read("known-good-series/talib/wilder_sar_38.csv") else {
        return;
    };
    let mut bars = Bars::of_closes(table.prices("high"));
    bars.low = table.prices("low");
    let values = bars.values(Spec::Sar { step: 0.02, most: 0.2 });
    let published = [(1, 50.00), (2, 50.047), (5, 50.182435), (36, 52.929026), (37, 50.00)];
    assert_points(&values, 1, &published, 1e-3);
    assert_points(&values, 1, &[(5, 50.182435), (36, 52.929026)], 5e-7);
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
    assert_three(&bars.bollinger(0), 19, [4065.884, 3621.185, 3582.8955]);
    assert_three(&bars.bollinger(1), 19, [4190.782310, 3712.008864, 3709.453081]);
    assert_three(&bars.bollinger(2), 19, [3940.985690, 3530.361136, 3456.337919]);
    let macd = Spec::Macd {
        fast: 12,
        slow: 26,
        signal: 9,
        seed: MacdSeed::Mean,
    };
    // Published where all lines are valid: the 34th bar is the first.
    let valid = |values: Vec<Option<f64>>| {
        values
            .into_iter()
            .enumerate()
            .map(|(at, value)| value.filter(|_| at >= 33))
    };
    assert_three(
        &valid(bars.line(macd, 0)).collect::<Vec<_>>(),
        33,
        [25.821368, 32.469404, 1.772445],
    );
    assert_three(&bars.line(macd, 1), 33, [21.977853, 26.469735, -2.845646]);
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
        ("Moving Average 20", 0),
        ("Bollinger Bands® 20 2 Top", 1),
        ("Bollinger Bands® 20 2 Bottom", 2),
    ];
    for (name, line) in bands {
        // The export cuts some of its four decimals off rather than rounding.
        let rows = assert_column(&bars.bollinger(line), &table.expected(name), VENDOR_WARM_UP, 1e-4);
        assert_eq!(rows, bars.close.len() - VENDOR_WARM_UP, "{name}");
        assert!(rows > 300);
    }
}

#[test]
fn i18_macd_12_26_9_of_a_charting_vendor() {
    let Some(table) = Table::read("known-good-series/Lean/spy_with_macd.txt.gz") else {
        return;
    };
    let bars = table.bars();
    let spec = Spec::Macd {
        fast: 12,
        slow: 26,
        signal: 9,
        seed: MacdSeed::First,
    };
    for (line, name) in [(0, "MACD"), (1, "Signal"), (2, "Histogram")] {
        let rows = assert_column(&bars.line(spec, line), &table.expected(name), VENDOR_WARM_UP, 1e-3);
        assert!(rows > 100, "{name}");
    }
}

#[test]
fn i18_adx_14_of_a_charting_vendor() {
    let Some(table) = Table::read("known-good-series/Lean/spy_with_adx.txt.gz") else {
        return;
    };
    let bars = table.bars();
    for (line, name) in [(0, "ADX 14"), (1, "+DI14"), (2, "-DI14")] {
        let values = bars.line(Spec::Adx { period: 14 }, line);
        let rows = assert_column(&values, &table.expected(name), VENDOR_WARM_UP, 1e-3);
        assert!(rows > 100, "{name}");
    }
}

#[test]
fn i18_stochastic_12_3_5_of_a_charting_vendor() {
    let Some(table) = Table::read("known-good-series/Lean/spy_with_stoch12k3.txt.gz") else {
        return;
    };
    let spec = Spec::Stochastic {
        period: 12,
        smooth: 3,
        signal: 5,
    };
    for (line, name) in [(0, "Stochastics 12 %K 3"), (1, "%D 5")] {
        let values = table.bars().line(spec, line);
        let expected = table.expected(name);
        let first = expected.iter().position(Option::is_some).expect("a value");
        let rows = assert_column(&values, &expected, first, 1e-3);
        assert!(rows > 100, "{name}");
    }
}

#[test]
fn i18_vwap_50_of_a_charting_vendor_weighs_the_mean_of_four_prices() {
    let Some(table) = Table::read("known-good-series/Lean/spy_with_vwap.txt.gz") else {
        return;
    };
    let mut bars = table.bars();
    bars.volume = table
        .cells("Volume")
        .map(|cell| cell.parse().expect("a volume"))
        .collect();
    bars.open = table.prices("Open");
    let values = bars.values(Spec::Vwap {
        span: Span::Bars(50),
        weighed: Weighed::OpenHighLowClose,
    });
    let expected = table.expected("Moving VWAP 50");
    let first = expected.iter().position(Option::is_some).expect("a value");
    assert_eq!(values.iter().position(Option::is_some), Some(first));
    assert!(assert_column(&values, &expected, first, 1e-4) > 50);
}

#[test]
fn i22_macd_of_a_spreadsheet() {
    let Some(table) = Table::read("known-good-series/ta/cs-macd.csv") else {
        return;
    };
    let bars = Bars::of_closes(table.prices("Close"));
    let spec = Spec::Macd {
        fast: 12,
        slow: 26,
        signal: 9,
        seed: MacdSeed::First,
    };
    let last = bars.close.len() - 1;
    for (line, name, published) in [(0, "MACD_line", 0.9956504772), (1, "MACD_signal", 0.9603537089)] {
        let expected = table.expected(name);
        let values = bars.line(spec, line);
        assert_close(values[last].unwrap(), published, 5e-9, name);
        // Its signal goes back further than its prices do.
        assert!(assert_column(&values, &expected, VENDOR_WARM_UP, 5e-9) > 20, "{name}");
    }
}

#[test]
fn i22_bollinger_of_a_spreadsheet() {
    let Some(table) = Table::read("known-good-series/ta/cs-bbands.csv") else {
        return;
    };
    let bars = Bars::of_closes(table.prices("Close"));
    for (line, name) in [(0, "MiddleBand"), (1, "HighBand"), (2, "LowBand")] {
        let rows = assert_column(&bars.bollinger(line), &table.expected(name), 19, 1e-5);
        assert!(rows > 20, "{name}");
    }
}

#[test]
fn i22_adx_of_a_spreadsheet() {
    let Some(table) = Table::read("known-good-series/ta/cs-adx.csv") else {
        return;
    };
    let bars = table.bars();
    for (line, name) in [(0, "ADX"), (1, "+DI14"), (2, "-DI14")] {
        let expected = table.expected(name);
        let first = expected.iter().position(Option::is_some).expect("a value");
        let values = bars.line(Spec::Adx { period: 14 }, line);
        assert_eq!(values.iter().position(Option::is_some), Some(first), "{name}");
        assert!(assert_column(&values, &expected, first, 1e-5) > 100, "{name}");
    }
}

#[test]
fn i22_wma_of_a_spreadsheet() {
    let Some(table) = Table::read("known-good-series/ta/cs-wma.csv") else {
        return;
    };
    let bars = Bars::of_closes(table.prices("Close"));
    let values = bars.values(Spec::Wma { period: 9 });
    // The sheet shows averages of prices that came before its first row.
    assert!(assert_column(&values, &table.expected("WMA"), 8, 1e-3) > 30);
}

// ------------------------------------------------------------------ a book

/// One block of the book's tables: its rows of numbers, as text.
fn book(wanted: &str) -> Option<Vec<Vec<String>>> {
    let text = text("known-good-series/tulipindicators/atoz.txt.gz")?;
    let mut lines = text.lines().skip_while(|line| line.trim() != wanted).skip(1);
    let rows: Vec<Vec<String>> = lines
        .by_ref()
        .take_while(|line| line.starts_with('#') || line.starts_with('{'))
        .filter(|line| line.starts_with('{'))
        .map(|line| {
            let inside = line.trim().trim_matches(['{', '}']);
            inside.split(',').map(|cell| cell.trim().to_string()).collect()
        })
        .collect();
    assert!(!rows.is_empty(), "the book has no block {wanted:?}");
    Some(rows)
}

fn book_prices(cells: &[String]) -> Vec<i64> {
    cells
        .iter()
        .map(|cell| parse(cell.trim_end_matches('.'), DECIMALS).expect("a price"))
        .collect()
}

/// The last rows of a block are the last values of some lines.
fn assert_book(wanted: &str, spec: Spec, lines: &[usize]) {
    assert_book_after(0, wanted, spec, lines);
}

/// The same without the first values.
fn assert_book_after(left_out: usize, wanted: &str, spec: Spec, lines: &[usize]) {
    let Some(rows) = book(wanted) else { return };
    let (inputs, outputs) = rows.split_at(rows.len() - lines.len());
    let bars = match inputs {
        [close] => Bars::of_closes(book_prices(close)),
        [high, low] => Bars {
            high: book_prices(high),
            low: book_prices(low),
            close: book_prices(low),
            open: Vec::new(),
            volume: Vec::new(),
        },
        [high, low, close, ..] => Bars {
            high: book_prices(high),
            low: book_prices(low),
            close: book_prices(close),
            open: Vec::new(),
            volume: Vec::new(),
        },
        [] => panic!("{wanted} has no input"),
    };
    for (&line, output) in lines.iter().zip(outputs) {
        let values = bars.line(spec, line);
        let first = values.len() - output.len();
        for (value, expected) in values[first..].iter().zip(output).skip(left_out) {
            assert_close(value.expect("a value"), expected.parse().unwrap(), 1.5e-3, wanted);
        }
    }
}

#[test]
fn i20_tables_of_a_book() {
    // Not its MACD, whose averages have the weights 0.15 and 0.075 rather than 2 / 13 and 2 / 27.
    let mean = Divisor::Population;
    assert_book("sma 5", Spec::Sma { period: 5 }, &[0]);
    assert_book("wma 5", Spec::Wma { period: 5 }, &[0]);
    assert_book(
        "ema 5",
        Spec::Ema {
            period: 5,
            seed: Seed::FirstPrice,
        },
        &[0],
    );
    assert_book(
        "stddev 5",
        Spec::Deviation {
            period: 5,
            divisor: mean,
        },
        &[0],
    );
    assert_book(
        "rsi 5",
        Spec::Rsi {
            period: 5,
            start: Start::Mean,
        },
        &[0],
    );
    assert_book(
        "atr 4",
        Spec::Atr {
            period: 4,
            first_range: FirstRange::HighLow,
        },
        &[0],
    );
    assert_book(
        "bbands 5 2",
        Spec::Bollinger {
            period: 5,
            width: 2.0,
            divisor: mean,
        },
        &[2, 0, 1],
    );
    assert_book(
        "stoch 5 3 3",
        Spec::Stochastic {
            period: 5,
            smooth: 3,
            signal: 3,
        },
        &[0, 1],
    );
    // Its first rise begins from another extreme than in the example of I15; from the first turn on they are one.
    assert_book_after(7, "psar .02 .2", Spec::Sar { step: 0.02, most: 0.2 }, &[0]);
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
